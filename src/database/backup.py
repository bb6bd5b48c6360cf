"""Backups of a service: the database first, then the files, so that each job in a backup has its
clip there.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.engine import make_url

from src.core.addresses import KEPT, QUARANTINE
from src.core.durable import sync_file, sync_folder
from src.core.errors import BadInputError, MissingFileError, OutputError
from src.database import house
from src.database.copying import copy_rows
from src.database.database import Database
from src.database.tables import facts

FOLDERS = (*KEPT, QUARANTINE)
FILES = ("runs.csv", house.FILE)
NAME = "newsreel.db"


def back_up(database: Database, home: Path, folder: Path) -> tuple[int, int]:
    """Write database and files into a new folder, while the service runs or not; returns jobs and
    files.

    Raises BadInputError where the folder holds something, OutputError where it cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BadInputError(f"{folder} is not empty; name a new folder")
    copy = Database(f"sqlite:///{(folder / NAME).absolute()}")
    copy.migrate()
    jobs = copy_rows(database, copy)
    copy.engine.dispose()
    return jobs, _copy_files(home, folder)


def restore(
    folder: Path, database: Database, home: Path, place: house.Note | None = None
) -> tuple[int, int]:
    """Fill an empty database from a backup and put back the files that are missing; returns jobs
    and files. place: of the files, where that is not the home.

    No file of the home is overwritten or removed; clips that the backup does not know go into
    quarantine at the next start. Raises MissingFileError where the folder is no backup.
    """
    saved = Database(f"sqlite:///{find_backup(folder).absolute()}")
    saved.migrate()
    jobs = copy_rows(saved, database)
    saved.engine.dispose()
    copied = _copy_files(folder, home)
    house.bind(database, place or home, adopt=True)
    return jobs, copied


def find_backup(folder: Path) -> Path:
    """The database of a backup. Raises MissingFileError where the folder is none."""
    if not (folder / NAME).is_file():
        raise MissingFileError(f"{folder} holds no {NAME}; name a folder that backup has written")
    return folder / NAME


def set_aside(url: str) -> Path | None:
    """Rename an SQLite file, so that a backup can take its place; returns its new name, None where
    there is none.

    Raises BadInputError for PostgreSQL, whose databases are made and dropped by its own tools.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise BadInputError(
            "--replace is for SQLite; in PostgreSQL make an empty database and name that one"
        )
    file, number = Path(str(parsed.database)), 1
    if not file.is_file():
        return None
    while (aside := file.with_name(f"{file.name}.replaced-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        if (part := Path(f"{file}{suffix}")).exists():
            part.rename(f"{aside}{suffix}")
    return aside


def move(database: Database, place: Path | house.Note, target: Database) -> int:
    """Copy everything into another, empty database, which the files belong to from now on; returns
    how many jobs. place: of the files, as for `house.bind`.

    The old one keeps its rows under another id: a service that is started on it by mistake is
    refused.
    """
    shared = house.bind(database, place)
    jobs = copy_rows(database, target)
    with database.write() as connection:
        moved = update(facts).where(facts.c.name == house.FACT).values(value=f"moved-{shared}")
        connection.execute(moved)
    return jobs


def _copy_files(source: Path, target: Path) -> int:
    """Whole files that are not there yet; what is being written is none."""
    count = 0
    for path in _whole_files(source):
        wanted = target / path.relative_to(source)
        if not os.path.lexists(wanted):
            _copy(path, wanted)
            count += 1
    return count


def _whole_files(home: Path) -> Iterator[Path]:
    found = [path for name in FOLDERS for path in sorted((home / name).glob("*"))]
    for path in (*found, *(home / name for name in FILES)):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".partial":
            yield path


def _copy(path: Path, wanted: Path) -> None:
    temporary = wanted.with_name(f".{wanted.name}.{os.getpid()}.partial")
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, temporary)
        sync_file(temporary)
        temporary.replace(wanted)
        sync_folder(wanted.parent)
    except FileNotFoundError:
        temporary.unlink(missing_ok=True)  # deleted meanwhile
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{wanted} cannot be written: {error.strerror}") from None
