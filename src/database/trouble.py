"""What keeps the database from being used for a while, as sentences: locked, read-only, damaged,
away, full.
"""

import sqlite3
from typing import Any

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)

from src.core.errors import OutputError

FULL = ("full", "took nothing, for its disk is full; free some space")
SQLITE = {
    sqlite3.SQLITE_BUSY: ("locked", "stayed locked; another program holds it"),
    sqlite3.SQLITE_LOCKED: ("locked", "stayed locked; another program holds it"),
    sqlite3.SQLITE_READONLY: ("read-only", "is read-only; give the service the right to write it"),
    sqlite3.SQLITE_IOERR: ("damaged", "cannot be read from its disk"),
    sqlite3.SQLITE_CORRUPT: ("damaged", "is damaged; restore a backup"),
    sqlite3.SQLITE_NOTADB: ("damaged", "is damaged; restore a backup"),
    sqlite3.SQLITE_CANTOPEN: ("away", "cannot be opened"),
    sqlite3.SQLITE_FULL: FULL,
}
"""By SQLite's primary result code: what it is called, and how a sentence about the database goes
on.
"""
POSTGRES = {
    "25006": ("read-only", "is read-only; give the service the right to write it"),
    "XX001": ("damaged", "is damaged; restore a backup"),
    "XX002": ("damaged", "is damaged; restore a backup"),
    "53100": FULL,
}
"""The same by SQLSTATE; what else makes PostgreSQL fail is `away`."""


class UnavailableError(OutputError):
    """The database cannot be used at the moment; the same call works again once it can.

    kind: "locked", "read-only", "damaged", "full" or "away". reason: what the database itself said.
    """

    http_status = 503

    def __init__(self, kind: str, says: str, reason: str = "") -> None:
        super().__init__(f"the database {says}; try again soon")
        self.kind, self.reason = kind, reason or says
        if kind == "full":
            self.http_status = OutputError.http_status


def trouble_of(error: DBAPIError | sqlite3.Error) -> UnavailableError | None:
    """The error of the tree that a driver's error stands for; None where it is a bug or a broken
    rule.
    """
    if isinstance(error, IntegrityError | ProgrammingError):
        return None
    orig = error.orig if isinstance(error, DBAPIError) else error
    reason, code = " ".join(str(orig).split()), _code(orig)
    kind, says = SQLITE.get(code) or POSTGRES.get(code) or (None, "")
    if kind is None and isinstance(error, OperationalError | InterfaceError):
        kind, says = "away", "cannot be reached"
    return UnavailableError(kind, says, reason) if kind else None


def _code(error: Any) -> Any:
    """SQLite's primary result code, or PostgreSQL's SQLSTATE;
    None where the driver tells neither.
    """
    extended = getattr(error, "sqlite_errorcode", None)
    return extended & 0xFF if extended is not None else getattr(error, "sqlstate", None)
