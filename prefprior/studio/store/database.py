"""The connection to the studio's database: SQLite by default, PostgreSQL by its URL, always at the newest revision."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 20  # how long a writer waits for another one's transaction
CONNECTIONS = 40  # as many as there are threads that ask
SQLITE_CALLS = 4  # at once: it computes in the threads that ask
ONE_STATE = "REPEATABLE READ"
SERVER_LOCK = 0x70726566  # PostgreSQL's advisory lock of the one server
# Seconds, and tries: by the system's own, a machine that has lost its power keeps its claim for hours.
KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
CONNECT_SECONDS = 5  # until a database that does not answer is away
DRIVERS = ("sqlite", "postgresql+psycopg")


class Database:
    """Sessions of one engine."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."""
        self.engine = _engine(url)
        # On PostgreSQL each statement would see what was committed since the one before; SQLite reads one state.
        self._readers = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level=ONE_STATE)
        # SQLite has writers of one process wait by looking again and again, up to 100 ms apart.
        self._one_writer = threading.Lock() if self.is_sqlite else nullcontext()
        self._claimed = ExitStack()
        self._is_server, self._lock_connection = False, cast("Connection | None", None)
        self._remains, self._forgetting = False, threading.Lock()  # deleted rows may be in SQLite's journal

    @classmethod
    def open(cls, url: str, *, make: bool = True) -> "Database":
        """Brings the tables to the newest revision; without `make`, only those that are there."""
        database = cls(url)
        if not make:
            database.require_there()
        try:
            if not make and database.revision() is None:
                raise ValueError(f"{database.name} is not the studio's: start the studio on it once")
            database.upgrade()
            database.forget()  # what the last server did not come to
        except DBAPIError as error:
            raise _unusable(database, error) from error
        return database

    @classmethod
    def open_as_it_is(cls, url: str) -> "Database":
        """One that is there, whose server may be running: tables of another revision are refused, and not changed."""
        database = cls(url)
        database.require_there()
        try:
            found = database.revision()
        except DBAPIError as error:
            raise _unusable(database, error) from error
        if found not in ScriptDirectory.from_config(database._alembic()).get_heads():
            raise ValueError(
                f"the tables of {database.name} are of "
                + ("no studio" if found is None else f"another version of prefprior (revision {found})")
                + ": start this version's studio on it once"
            )
        return database

    def require_there(self) -> None:
        """SQLite would make a file that is not there."""
        if self.is_sqlite and not Path(str(self.engine.url.database)).is_file():
            raise ValueError(f"there is no database {self.name}: start the studio once, or give the right path")

    @property
    def name(self) -> str:
        """The URL without its password."""
        url = self.engine.url
        return url.difference_update_query(password_settings(url)).render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def calls_at_once(self) -> int:
        """How many quick calls may run at the same time."""
        return SQLITE_CALLS if self.is_sqlite else CONNECTIONS

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with Session(self._readers, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self, *, lasting: bool = True) -> Iterator[Session]:
        """A transaction: committed at the end, or rolled back.

        SQLite's begins as a writer. One that becomes a writer later fails at once where another has written meanwhile.
        What need not be `lasting` outlives a server that is killed, and a loss of power only together with the next
        lasting one: SQLite does not wait for the disk.
        """
        with self._one_writer, Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options={"prefprior_writes": True, "prefprior_lasting": lasting})
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

    def claim(self) -> None:
        """Keeps other servers away until it is closed: turns of profiles, and what memory keeps, are one server's."""
        self._is_server = True
        if not self._lock():
            self._claimed.close()
            raise ValueError(f"another server uses the database {self.name}: stop it, or choose another one")

    def hold(self) -> None:
        """Claims PostgreSQL again where it has restarted; an error where another server was faster."""
        if self.is_sqlite or not self._is_server or self._is_locked():
            return
        self._claimed.close()
        self.claim()

    def _is_locked(self) -> bool:
        """The lock lasts as long as its connection."""
        held, self._lock_connection = self._lock_connection, None
        if held is None:
            return False
        try:
            held.scalar(text("SELECT 1"))
        except DBAPIError:
            return False
        self._lock_connection = held
        return True

    def _lock(self) -> bool:
        if self.is_sqlite:
            path = Path(f"{self.engine.url.database}.server")
            file = self._claimed.enter_context(path.open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._claimed.callback(connection.invalidate)  # the lock ends with its connection
        for setting, value in KEEPALIVES.items():
            connection.execute(text(f"SET {setting} = {value}"))
        if connection.scalar(text(f"SELECT pg_try_advisory_lock({SERVER_LOCK})")):
            self._lock_connection = connection
        return self._lock_connection is not None

    def forget(self) -> bool:
        """Takes what was deleted out of SQLite's file and journal; freed pages are overwritten (`secure_delete`).

        That must wait for whoever reads an older state, and waits for nobody: False where it is still to be done, by
        `forget_again`.
        """
        if not self.is_sqlite:
            return True
        with self._forgetting:
            self._remains = True
        return self.forget_again()

    def forget_again(self) -> bool:
        """What an earlier `forget` could not do, if anything is left."""
        with self._forgetting:
            if not self._remains:
                return True
            with self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA busy_timeout=0")  # writers would wait as long as the checkpoint does
                try:
                    busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    driver.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS}")
            self._remains = bool(busy)
            return not self._remains

    def close(self) -> None:
        """Gives all connections back, and its claim."""
        self._claimed.close()
        self.engine.dispose()

    @contextmanager
    def _one_migration(self) -> Iterator[Any]:
        """SQLite alters a table by making it anew and dropping the old one, which would delete all rows that refer to
        it: foreign keys are off meanwhile, and checked before the end."""
        with self.engine.connect().execution_options(prefprior_writes=True) as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            if self.is_sqlite:
                driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
                    if self.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                        raise RuntimeError("a migration has left rows that refer to nothing")
            finally:
                if self.is_sqlite:
                    driver.execute("PRAGMA foreign_keys=ON")

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        return config


def _unusable(database: Database, error: DBAPIError) -> ValueError:
    return ValueError(
        f"the database {database.name} cannot be used: {str(error.orig).splitlines()[0]}. Is it there, and may this "
        "user write to it?"
    )


def password_settings(url: URL) -> list[str]:
    """Settings of a connection (`?password=`) that are secret too."""
    return [name for name in url.query if name.lower().endswith("password")]


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername not in DRIVERS:
            raise ValueError(f"its driver is {parsed.drivername}")
        if parsed.drivername == "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise ValueError("it names no file, and memory is lost when the server ends")
            made = create_engine(
                parsed, connect_args={"timeout": BUSY_SECONDS}, pool_size=CONNECTIONS, pool_use_lifo=True
            )
            _as_sqlite_should(made)
            return made
        # A connection that the server has dropped is noticed before it is used.
        patience = {"connect_timeout": CONNECT_SECONDS} if "connect_timeout" not in parsed.query else {}
        return create_engine(
            parsed, connect_args=patience, pool_pre_ping=True, pool_size=CONNECTIONS, pool_use_lifo=True
        )
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
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        options = connection.get_execution_options()
        if not options.get("prefprior_writes"):
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(
            f"PRAGMA synchronous={'FULL' if options.get('prefprior_lasting', True) else 'NORMAL'}"
        )
        connection.exec_driver_sql("BEGIN IMMEDIATE")
