"""Galleries beside the strip, and the page that each question was shown on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PAGE = "CASE WHEN kind = '1' THEN 'rate' WHEN kind LIKE '2%' THEN 'pair' ELSE 'nine' END"


def upgrade() -> None:
    """What was made before can be made again."""
    op.drop_table("made")
    op.drop_table("strips")
    op.create_table(
        "albums",
        sa.Column(
            "profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("decoder", sa.String(512), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("concentration", sa.Double(), nullable=False),
        sa.Column("sure", sa.String(32)),
        sa.Column("wish", sa.JSON(), nullable=False),
        sa.Column("mixed_with", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), index=True),
        sa.Column("made_at", sa.Double(), nullable=False),
    )  # fmt: skip
    op.create_table(
        "made",
        sa.Column("profile_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["profile_id", "kind"], ["albums.profile_id", "albums.kind"], ondelete="CASCADE"),
    )
    # Without making the table anew, which would forget the numbers that were given to deleted rows.
    op.add_column("questions", sa.Column("page", sa.String(16), nullable=False, server_default=""))
    op.execute(f"UPDATE questions SET page = {PAGE}")


def downgrade() -> None:
    """What was made can be made again."""
    op.drop_column("questions", "page")
    op.drop_table("made")
    op.drop_table("albums")
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
