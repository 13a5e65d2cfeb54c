"""What was last made for each profile."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds two tables."""
    op.create_table(
        "strips",
        sa.Column(
            "profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("decoder", sa.String(512), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("concentration", sa.Double(), nullable=False),
        sa.Column("sure", sa.String(32)),
        sa.Column("made_at", sa.Double(), nullable=False),
    )  # fmt: skip
    op.create_table(
        "made",
        sa.Column("profile_id", NUMBER, sa.ForeignKey("strips.profile_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """What was made can be made again."""
    op.drop_table("made")
    op.drop_table("strips")
