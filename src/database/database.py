"""One database: SQLite on one machine, PostgreSQL where the URL says so. Schema by Alembic."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from src.core.errors import BadInputError, OutputError
from src.database.locks import MIGRATION, take_lock
from src.database.trouble import UnavailableError, trouble_of

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0020"
BACKENDS = ("sqlite", "postgresql")
BUSY_MS = 20_000
STILL_BUSY_MS = 500
"""How long is waited for a lock that was not given back within BUSY_MS the last time: nobody queues
behind it.
"""
LOOK_S = 0.002
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
TCP_LIMITS = {
    "connect_timeout": "5", "tcp_user_timeout": "8000", "keepalives_idle": "5",
    "keepalives_interval": "2", "keepalives_count": "3",
}  # fmt: skip
"""Seconds, and tcp_user_timeout in milliseconds: libpq's own take two hours to notice that a server
is cut off.
"""
REOPENED = ("read-only", "damaged", "away")
"""Troubles after which connections are opened again: the file may be another one by then."""


class Database:
    """Transactions on the database at `url`, such as sqlite:////path/jobs.db or
    postgresql+psycopg://user@host/name.

    SQLite takes the write lock when a transaction begins (waiting up to 20 s), writes ahead, and
    syncs each commit to the disk. Network file systems are no place for it. pool: connections that
    are kept, and how many more there may be at need.
    """

    def __init__(self, url: str, pool: tuple[int, int] = (16, 32)) -> None:
        try:
            parsed = make_url(url)
        except Exception:
            raise BadInputError(
                "the database URL cannot be read; such as sqlite:////srv/newsreel/jobs.db"
            ) from None
        if (backend := parsed.get_backend_name()) not in BACKENDS:
            raise BadInputError(
                f"the database is {backend[:40]}; it must be one of: {', '.join(BACKENDS)}"
            )
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_folder(Path(parsed.database).parent)
        self.url = url
        self.trouble: UnavailableError | None = None
        """Why the last transaction failed; None once one works again."""
        self.engine = _engine(within_limits(parsed), pool)
        # SQLite has one writer; waiting here costs less than its own polling for the lock.
        self._turn = threading.Lock()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", self._begin)

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction. Raises UnavailableError where the database is locked, read-only, damaged
        or away, and OutputError where the disk is full.
        """
        with self._watched(), self._alone(), self.engine.begin() as connection:
            yield connection
        self.trouble = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Reads that lock nothing. With SQLite they all see one state of the database; with
        PostgreSQL each sees what is committed when it begins. Raises UnavailableError as `write`
        does.
        """
        with (
            self._watched(),
            self.engine.connect().execution_options(newsreel_read=True) as connection,
        ):
            yield connection
        if self.trouble is not None and self.trouble.kind in ("away", "damaged"):
            self.trouble = None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Drivers' errors become those of the tree."""
        try:
            yield
        except UnavailableError as error:
            self._note(error)
            raise
        except (DBAPIError, sqlite3.Error) as error:
            if (told := trouble_of(error)) is None:
                raise
            self._note(told)
            raise told from error

    def _note(self, error: UnavailableError) -> None:
        self.trouble = error
        if self.is_sqlite and error.kind in REOPENED:
            self.engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """This process's turn to write; threads queue here no longer than for the lock itself."""
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=self._patience()):
            raise _locked_for(self._patience())
        try:
            yield
        finally:
            self._turn.release()

    def _patience(self) -> float:
        """Seconds to wait for SQLite's write lock."""
        stuck = self.trouble is not None and self.trouble.kind == "locked"
        return min(BUSY_MS, STILL_BUSY_MS if stuck else BUSY_MS) / 1000

    def _begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("newsreel_read"):
            connection.exec_driver_sql("BEGIN")
        else:
            _take_the_write_lock(connection.connection.driver_connection, self._patience())

    def now(self, connection: Connection) -> float:
        """Seconds since the epoch by the one clock that all who share the database go by: on
        PostgreSQL the server's, for machines' own clocks differ.
        """
        if self.is_sqlite:
            return time.time()
        return connection.exec_driver_sql(CLOCK).scalar_one()

    def migrate(self) -> None:
        """Bring the schema up to this version; does nothing where it is. Raises OutputError where
        it cannot be opened, and BadInputError for a database of a newer version.
        """
        try:
            if (revision := self._revision()) == HEAD:
                return
            if revision is not None and revision > HEAD:
                raise BadInputError(
                    f"the database is of a newer version ({revision}); this one knows {HEAD}"
                )
            with self._watched():
                upgrade_schema(self.engine)
        except UnavailableError as error:
            raise OutputError(f"the database cannot be opened: {error.reason}") from None

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the database's folder {folder} cannot be made: {error.strerror}"
        ) from None


def within_limits(url: URL) -> URL:
    """With `TCP_LIMITS` where the URL does not say otherwise."""
    if url.get_backend_name() == "sqlite":
        return url
    return url.update_query_dict({k: v for k, v in TCP_LIMITS.items() if k not in url.query})


def _engine(url: URL, pool: tuple[int, int]) -> Engine:
    """Raises BadInputError where the driver is not installed."""
    try:
        local, (kept, more) = url.get_backend_name() == "sqlite", pool
        return create_engine(url, pool_size=kept, max_overflow=more, pool_pre_ping=not local)
    except (ImportError, ArgumentError):
        raise BadInputError(
            f"there is no database driver {url.drivername!r}; such as postgresql+psycopg"
        ) from None


def upgrade_schema(engine: Engine) -> None:
    """Run the migrations. Several processes may start at once: the database lets one at a time."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        take_lock(connection, MIGRATION)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_MS}",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _take_the_write_lock(connection: Any, patience: float) -> None:
    """Ask every two milliseconds. SQLite's own waiting sleeps up to 100 ms, while another process
    that writes one transaction after the other takes the lock again and again.
    """
    deadline = time.monotonic() + patience
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while not _locked(connection):
            if time.monotonic() > deadline:
                raise _locked_for(patience)
            time.sleep(LOOK_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _locked_for(seconds: float) -> UnavailableError:
    return UnavailableError("locked", f"stayed locked for {seconds:g} s; another program holds it")


def _locked(connection: Any) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


Clock = Callable[[], float]


def batches(items: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """A part of the items at a time: as many as one query may name."""
    return (items[begin : begin + size] for begin in range(0, len(items), size))
