"""Studies: two arms, what was asked and made in each, and which of the made pictures people like."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COLUMNS = (("questions", "study"), ("questions", "arm"), ("albums", "study"), ("made", "arm"))


def upgrade() -> None:
    """Adds two tables and four columns; what is there belongs to no study."""
    op.create_table(
        "studies",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("levels", sa.JSON(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tried",
        sa.Column(
            "profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("strip", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("study", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("shown_at", sa.Double(), nullable=False),
        sa.Column("liked_at", sa.Double()),
    )  # fmt: skip
    for table, column in COLUMNS:
        op.add_column(table, sa.Column(column, sa.Integer()))


def downgrade() -> None:
    """Which arm has asked what is lost."""
    for table, column in COLUMNS:
        op.drop_column(table, column)
    op.drop_table("tried")
    op.drop_table("studies")
