"""People and their profiles, questions and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "people",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("public_id", sa.String(32), nullable=False, unique=True),
        sa.Column("cookie_hash", sa.String(64), unique=True),
        sa.Column("platform", sa.String(64)),
        sa.Column("external_id", sa.String(128)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("platform", "external_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "profiles",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("person_id", NUMBER, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("person_id", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "questions",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("profile_id", NUMBER, sa.ForeignKey("profiles.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("request_key", sa.String(128)),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("profile_id", "request_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_questions_profile_id_id", "questions", ["profile_id", "id"])
    op.create_table(
        "shown",
        sa.Column("question_id", NUMBER, sa.ForeignKey("questions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("item", sa.String(512), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column(
            "question_id", NUMBER, sa.ForeignKey("questions.id", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("rating", sa.Double()),
        sa.Column("picked", sa.JSON(), nullable=False),
        sa.Column("latency", sa.Double()),
        sa.Column("answered_at", sa.Double(), nullable=False),
    )  # fmt: skip


def downgrade() -> None:
    """To nothing."""
    for name in ("answers", "shown", "questions", "profiles", "people"):
        op.drop_table(name)
