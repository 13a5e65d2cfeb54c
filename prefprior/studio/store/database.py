"""The connection to the studio's database: SQLite by default, PostgreSQL by its URL, always at the newest revision."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 20  # how long a writer waits for another one's transaction
DRIVERS = ("sqlite", "postgresql+psycopg")


class Database:
    """Sessions of one engine."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."""
        self.engine = _engine(url)

    @classmethod
    def open(cls, url: str) -> "Database":
        """Brings the tables to the newest revision."""
        database = cls(url)
        try:
            database.upgrade()
        except DBAPIError as error:
            raise ValueError(
                f"the database {database.name} cannot be used: {str(error.orig).splitlines()[0]}. Is it there, and may "
                "this user write to it?"
            ) from error
        return database

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: committed at the end, or rolled back.

        SQLite's begins as a writer. One that becomes a writer later fails at once where another has written meanwhile.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options={"prefprior_writes": True})
            yield session

    def upgrade(self, revision: str = "head") -> None:
        """Runs migrations; a database of a newer version of prefprior is refused."""
        config = self._alembic()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if (found := self.revision()) is not None and found not in known:
            raise ValueError(
                f"the database {self.name} is of a newer version of prefprior (revision {found}): update prefprior, or "
                "choose another database"
            )
        with self._one_migration() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def downgrade(self, revision: str) -> None:
        """Runs migrations backwards."""
        config = self._alembic()
        with self._one_migration() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, revision)

    def revision(self) -> str | None:
        """The revision of the tables; None where there are none."""
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def ping(self) -> None:
        """Raises where the database is away."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def forget(self) -> None:
        """Takes what was deleted out of SQLite's journal as well; freed pages are overwritten (`secure_delete`)."""
        if self.is_sqlite:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()

    @contextmanager
    def _one_migration(self) -> Iterator[Any]:
        with self.engine.connect().execution_options(prefprior_writes=True) as connection, connection.begin():
            yield connection

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        return config


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername not in DRIVERS:
            raise ValueError(f"its driver is {parsed.drivername}")
        if parsed.drivername == "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise ValueError("it names no file, and memory is lost when the server ends")
            made = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
            _as_sqlite_should(made)
            return made
        # A connection that the server has dropped is noticed before it is used.
        return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise ValueError(
            f"database={url.split('@')[-1]} cannot be used: {error}. Give sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/NAME"
        ) from error


def _as_sqlite_should(engine: Engine) -> None:
    """Readers beside one writer (WAL), foreign keys, deletion that overwrites; we begin transactions ourselves."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        writes = connection.get_execution_options().get("prefprior_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
