"""Opens the database of a log as it is: nothing is made, and no schema is changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from src.core.errors import BadInputError, MissingFileError
from src.database.database import HEAD, Database
from src.database.tables import audit

NAMED = "NEWSREEL_HOME or NEWSREEL_DATABASE names it"


def open_log(url: str) -> Database:
    """The database at this URL. Raises MissingFileError where there is none, BadInputError where it
    is none of this version, or where its log was dropped.
    """
    if url.startswith("sqlite"):
        _check_file(make_url(url).database)
    made = Database(url)
    with made.read() as connection:
        tables = inspect(connection)
        shown = made.engine.url.render_as_string(hide_password=True)
        if not tables.has_table("alembic_version"):
            raise BadInputError(f"{shown} is no database of this service; {NAMED}")
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if found != HEAD:
            raise BadInputError(_other(shown, str(found)))
        if not tables.has_table(audit.name):
            raise BadInputError(f"{shown} has lost its table {audit.name}: the log was dropped")
    return made


def _other(shown: str, found: str) -> str:
    if found > HEAD:
        return f"{shown} is of a newer version ({found}); this one knows {HEAD}"
    return f"{shown} is of an older version ({found}, not {HEAD}); a start of the service raises it"


def _check_file(name: str | None) -> None:
    """That it is a database of ours, looked at without a write: opening one for work changes it."""
    path = Path(name or "")
    if not name or not path.is_file():
        raise MissingFileError(f"there is no database {name or 'in memory'}; {NAMED}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as looked:
            found = looked.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
            ours = found.fetchone() is not None
    except sqlite3.DatabaseError as error:
        raise BadInputError(f"{path} cannot be read as a database: {error}; {NAMED}") from None
    if not ours:
        raise BadInputError(f"{path} is no database of this service; {NAMED}")
