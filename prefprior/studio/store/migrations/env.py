"""What Alembic runs: always with the connection that `Database` gives, and on its transaction."""

from alembic import context

from prefprior.studio.store.tables import Base

connection = context.config.attributes["connection"]
# SQLite alters a table by making it anew.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
