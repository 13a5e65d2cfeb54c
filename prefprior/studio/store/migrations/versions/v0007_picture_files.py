"""Made pictures lie in files: their names are found fast, and the database has a name of its own for their folder."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Pictures that are in the database are moved out when the server starts."""
    identity = op.create_table("identity", sa.Column("id", sa.String(32), primary_key=True))
    op.bulk_insert(identity, [{"id": secrets.token_hex(16)}])
    with op.batch_alter_table("made") as made:
        made.alter_column("content", existing_type=sa.LargeBinary(), nullable=True)
        made.create_index("ix_made_sha256", ["sha256"])
    op.create_index("ix_reports_kind_name", "reports", ["kind", "name"])


def downgrade() -> None:
    """What was made can be made again; files stay where they are, and no later server knows them."""
    op.drop_index("ix_reports_kind_name", "reports")
    op.execute("DELETE FROM made")
    op.execute("DELETE FROM albums")
    with op.batch_alter_table("made") as made:
        made.drop_index("ix_made_sha256")
        made.alter_column("content", existing_type=sa.LargeBinary(), nullable=False)
    op.drop_table("identity")
