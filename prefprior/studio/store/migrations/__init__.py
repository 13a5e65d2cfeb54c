"""Alembic's migrations of the studio's database."""
