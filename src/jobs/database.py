"""One database: SQLite on one machine, PostgreSQL where the URL says so. Schema by Alembic."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from src.core.errors import BadInputError, OutputError

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0001"
BACKENDS = ("sqlite", "postgresql")
BUSY_MS = 20_000
LOOK_S = 0.002


class Database:
    """Transactions on the database at `url`, such as sqlite:////path/jobs.db or postgresql+psycopg://user@host/name.

    SQLite takes the write lock when a transaction begins (waiting up to 20 s), writes ahead, and syncs each commit to
    the disk. Network file systems are no place for it.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except Exception:
            raise BadInputError("the database URL cannot be read; such as sqlite:////srv/newsreel/jobs.db") from None
        if (backend := parsed.get_backend_name()) not in BACKENDS:
            raise BadInputError(f"the database is {backend[:40]}; it must be one of: {', '.join(BACKENDS)}")
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_folder(Path(parsed.database).parent)
        self.url = url
        self.engine = _engine(parsed)
        # SQLite has one writer; waiting here costs less than its own polling for the lock.
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", _begin)

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction. Raises OutputError where the disk is full."""
        try:
            with self._turn, self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if "full" in str(error.orig).lower():
                raise OutputError("the disk is full: the database took nothing; free some space") from None
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Reads that see one state of the database and lock nothing."""
        with self.engine.connect().execution_options(newsreel_read=True) as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema up to this version; does nothing where it is. Raises OutputError where it cannot be opened,
        and BadInputError for a database of a newer version.
        """
        try:
            if (revision := self._revision()) == HEAD:
                return
            if revision is not None and revision > HEAD:
                raise BadInputError(f"the database is of a newer version ({revision}); this one knows {HEAD}")
            upgrade(self.engine)
        except DBAPIError as error:
            raise OutputError(f"the database cannot be opened: {' '.join(str(error.orig).split())}") from None

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the database's folder {folder} cannot be made: {error.strerror}") from None


def _engine(url: URL) -> Engine:
    """16 connections, and 32 more at need. Raises BadInputError where the driver is not installed."""
    try:
        local = url.get_backend_name() == "sqlite"
        return create_engine(url, pool_size=16, max_overflow=32, pool_pre_ping=not local)
    except (ImportError, ArgumentError):
        raise BadInputError(f"there is no database driver {url.drivername!r}; such as postgresql+psycopg") from None


def upgrade(engine: Engine) -> None:
    """Run the migrations. Several processes may start at once: the database lets one at a time."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(726473)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("newsreel_read"):
        connection.exec_driver_sql("BEGIN")
    else:
        _take_the_write_lock(connection.connection.driver_connection)


def _take_the_write_lock(connection: Any) -> None:
    """Ask every two milliseconds. SQLite's own waiting sleeps up to 100 ms, while another process that writes one
    transaction after the other takes the lock again and again.
    """
    deadline = time.monotonic() + BUSY_MS / 1000
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while not _locked(connection):
            if time.monotonic() > deadline:
                raise OutputError(f"the database stayed locked for {BUSY_MS // 1000} s; does another program hold it?")
            time.sleep(LOOK_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _locked(connection: Any) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


Clock = Callable[[], float]
