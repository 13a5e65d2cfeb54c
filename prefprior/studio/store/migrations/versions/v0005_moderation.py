"""Reports, hidden pictures, invitations, and profiles that are shared for mixing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds three tables and a column."""
    op.create_table(
        "reports",
        sa.Column(
            "profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("reported_at", sa.Double(), nullable=False),
    )  # fmt: skip
    op.create_table(
        "hidden",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("hidden_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("code_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("note", sa.String(80), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("profiles", sa.Column("share_hash", sa.String(64)))
    op.create_index("ix_profiles_share_hash", "profiles", ["share_hash"], unique=True)


def downgrade() -> None:
    """Reports, invitations and what was hidden are lost."""
    op.drop_index("ix_profiles_share_hash", "profiles")
    op.drop_column("profiles", "share_hash")
    for name in ("invitations", "hidden", "reports"):
        op.drop_table(name)
