"""Profiles that people with a like taste may find, and what is compared of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Nobody is found until they say so."""
    op.add_column("profiles", sa.Column("found_as", sa.String(40)))
    op.create_table(
        "tastes",
        sa.Column(
            "profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("reader", sa.String(64), nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("utilities", sa.LargeBinary(), nullable=False),
        sa.Column("read_at", sa.Double(), nullable=False),
        sa.Index("ix_tastes_reader_read_at", "reader", "read_at"),
    )  # fmt: skip


def downgrade() -> None:
    """Nobody is found any more."""
    op.drop_table("tastes")
    op.drop_column("profiles", "found_as")
