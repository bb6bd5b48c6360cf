"""A home belongs to one database: both hold the same id, so that no service takes strangers' clips
for rubbish.
"""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, insert, select

from src.core.durable import make_folder, write_whole
from src.core.errors import BadInputError
from src.database.database import Database
from src.database.locks import HOUSE, take_lock
from src.database.tables import facts

FILE = "database.id"
FACT = "id"
NEW = " new"
"""Behind an id that the database may not have kept: a first start may end before it has."""
SETTLE = "python -m src.service_data check --adopt"


class Note(Protocol):
    """Where files lie, and what is noted there: the id of the database that they belong to. As
    text, what a sentence calls the place.
    """

    def read(self) -> str | None:
        """The id; None where nothing is noted. Raises BadInputError for what cannot be read."""
        ...

    def write(self, shared: str) -> None:
        """Note the id in place of another."""
        ...

    def holds(self, database: Database) -> bool:
        """Whether the database is a file in this very place."""
        ...


def bind(database: Database, place: Path | Note, adopt: bool = False) -> str:
    """The id that a place of files and the database share; both get one where neither has. place: a
    home, or the note of another place. adopt: the place takes the database's.

    Raises BadInputError where the place belongs to another database, or the database to another
    place.
    """
    note = HomeNote(place) if isinstance(place, Path) else place
    with database.read() as connection:
        known = _of_database(connection)
    if known is not None and note.read() == known:
        return known
    with database.write() as connection:
        take_lock(connection, HOUSE)
        shared = _settle(connection, database, note, adopt)
    note.write(shared)
    return shared


def _settle(connection: Connection, database: Database, note: Note, adopt: bool) -> str:
    """Both are looked at by one at a time: of two places with nothing noted one gets the
    database.
    """
    noted, known = note.read(), _of_database(connection)
    here = noted and noted.removesuffix(NEW)
    if noted != here != known:  # the database has not kept it
        here = None
    if here != known and not adopt and not (here is None and note.holds(database)):
        raise BadInputError(_mismatch(database, note, here, known))
    if known is not None:
        return known
    shared = secrets.token_hex(8)
    connection.execute(insert(facts).values(name=FACT, value=shared))
    note.write(f"{shared}{NEW}")  # who begins in this place, too, waits and finds it
    return shared


class HomeNote:
    """A file of the home. One that was only lost is written again where the database lies there."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __str__(self) -> str:
        return f"the home {self.home}"

    def read(self) -> str | None:
        try:
            return (self.home / FILE).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise BadInputError(
                f"{self.home / FILE} cannot be read; settle it with: {SETTLE}"
            ) from None

    def write(self, shared: str) -> None:
        write_whole(self.home / FILE, f"{shared}\n".encode())

    def holds(self, database: Database) -> bool:
        file = Path(database.engine.url.database or "/").resolve()
        return database.is_sqlite and file.is_relative_to(self.home.resolve())


def _of_database(connection: Connection) -> str | None:
    return connection.execute(select(facts.c.value).where(facts.c.name == FACT)).scalar()


def _mismatch(database: Database, note: Note, here: str | None, known: str | None) -> str:
    shown = database.engine.url.render_as_string(hide_password=True)
    one = f"belongs to database {here}" if here else "belongs to no database yet"
    other = f"belongs to files elsewhere ({known})" if known else "belongs to no files yet"
    return (
        f"{note} {one}, and {shown} {other}: put NEWSREEL_HOME, NEWSREEL_STORE or "
        f"NEWSREEL_DATABASE right, or settle it with: {SETTLE}"
    )


def occupy(home: Path) -> IO[str]:
    """A lock that services and workers hold together for as long as the file that is returned is
    open.

    Raises BadInputError while the home's database is being replaced.
    """
    handle = _lock_file(home)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise BadInputError(
            f"the database of {home} is being replaced; start again when that is done"
        ) from None
    return handle


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """While a database is replaced. Raises BadInputError where a service or a worker of this
    machine runs on the home: what it goes on to write would be lost.
    """
    with _lock_file(home) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInputError(f"a service or a worker runs on {home}; stop it first") from None
        yield


def _lock_file(home: Path) -> IO[str]:
    make_folder(home)
    return (home / "service.lock").open("a", encoding="ascii")
