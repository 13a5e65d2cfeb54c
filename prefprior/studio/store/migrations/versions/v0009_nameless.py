"""Who lets people with a like taste find them has no name for that: nobody could report one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who was found still is; the names are deleted."""
    op.add_column("profiles", sa.Column("findable", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE profiles SET findable = (found_as IS NOT NULL)")
    op.drop_column("profiles", "found_as")


def downgrade() -> None:
    """All are called the same."""
    op.add_column("profiles", sa.Column("found_as", sa.String(40)))
    op.execute("UPDATE profiles SET found_as = 'somebody' WHERE findable")
    op.drop_column("profiles", "findable")
