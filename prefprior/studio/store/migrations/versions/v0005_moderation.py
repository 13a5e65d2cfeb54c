"""Reports, hidden pictures, invitations, and profiles that are shared for mixing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A table that is made anew would lose it.
AUTOINCREMENT = {"sqlite_autoincrement": True}
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
    with op.batch_alter_table("profiles", table_kwargs=AUTOINCREMENT) as profiles:
        profiles.add_column(sa.Column("share_hash", sa.String(64)))
        profiles.create_unique_constraint("uq_profiles_share_hash", ["share_hash"])


def downgrade() -> None:
    """Reports, invitations and what was hidden are lost."""
    with op.batch_alter_table("profiles", table_kwargs=AUTOINCREMENT) as profiles:
        profiles.drop_constraint("uq_profiles_share_hash", type_="unique")
        profiles.drop_column("share_hash")
    for name in ("invitations", "hidden", "reports"):
        op.drop_table(name)
