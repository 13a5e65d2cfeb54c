"""Events of platforms."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds two tables."""
    op.create_table(
        "events",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("item", sa.String(512), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("dwell", sa.Double()),
        sa.Column("page", sa.String(128)),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_batches",
        sa.Column("platform", sa.String(64), primary_key=True),
        sa.Column("request_key", sa.String(128), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False, index=True),
    )


def downgrade() -> None:
    """Events are lost."""
    op.drop_table("event_batches")
    op.drop_table("events")
