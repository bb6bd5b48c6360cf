"""A home belongs to one database: both hold the same id, so that no service takes strangers' clips
for rubbish.
"""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from src.core.durable import make_folder, write_whole
from src.core.errors import BadInputError
from src.database.database import Database
from src.database.tables import facts

FILE = "database.id"
FACT = "id"
QUARANTINE = "quarantine"
"""The folder of a home for files that may be somebody's, and that no job of its database names."""
SETTLE = "python -m src.service_data check --adopt"


def bind(database: Database, home: Path, adopt: bool = False) -> str:
    """The id that home and database share; both get one where neither has. adopt: the home takes
    the database's.

    Raises BadInputError where the home belongs to another database, or the database to another
    home.
    """
    here, known = _of_home(home), _of_database(database)
    if here != known and not adopt and not _lies_in(database, home, here):
        raise BadInputError(_mismatch(database, home, here, known))
    shared = known or _give(database, secrets.token_hex(8))
    if here != shared:
        write_whole(home / FILE, f"{shared}\n".encode())
    return shared


def _lies_in(database: Database, home: Path, here: str | None) -> bool:
    """Whether the home only lost its own note: the database is a file in it."""
    file = database.engine.url.database
    return (
        here is None
        and database.is_sqlite
        and Path(file or "/").resolve().is_relative_to(home.resolve())
    )


def _of_home(home: Path) -> str | None:
    try:
        return (home / FILE).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise BadInputError(f"{home / FILE} cannot be read; settle it with: {SETTLE}") from None


def _of_database(database: Database) -> str | None:
    with database.read() as connection:
        return connection.execute(select(facts.c.value).where(facts.c.name == FACT)).scalar()


def _give(database: Database, wanted: str) -> str:
    """Another process may give the database its id at the same time: the first one counts."""
    try:
        with database.write() as connection:
            connection.execute(insert(facts).values(name=FACT, value=wanted))
    except IntegrityError:
        return str(_of_database(database))
    return wanted


def _mismatch(database: Database, home: Path, here: str | None, known: str | None) -> str:
    shown = database.engine.url.render_as_string(hide_password=True)
    one = f"belongs to database {here}" if here else "belongs to no database yet"
    other = f"belongs to home {known}" if known else "belongs to no home yet"
    return (
        f"the home {home} {one}, and {shown} {other}: put NEWSREEL_HOME or NEWSREEL_DATABASE "
        "right, "
        f"or settle it with: {SETTLE}"
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


def quarantined(home: Path) -> list[Path]:
    """What lies in quarantine."""
    folder = home / QUARANTINE
    return sorted(folder.iterdir()) if folder.is_dir() else []
