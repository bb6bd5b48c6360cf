"""Rows of the register of marks and fingerprints: kept when their job is not, so that what is found
years later still has a name.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from src.core.register import Registered
from src.database.tables import marks

FIELDS = ("artifact", "sha256", "mark", "key", "fingerprint", "job")


def add_mark(connection: Connection, entry: Registered, now: float) -> None:
    """A row; it takes the place of one of the same artifact."""
    connection.execute(delete(marks).where(marks.c.artifact == entry.artifact))
    values = {name: getattr(entry, name) for name in FIELDS}
    connection.execute(insert(marks).values(**values, created=now))


def marks_of(connection: Connection, keys: Sequence[str]) -> dict[str, list[str]]:
    """Ids of marks by the id of their key, of these keys."""
    query = select(marks.c.key, marks.c.mark).where(marks.c.key.in_(keys), marks.c.mark != "")
    found: dict[str, list[str]] = {}
    for key, mark in connection.execute(query.distinct()):
        found.setdefault(key, []).append(mark)
    return found


def prints(connection: Connection) -> list[str]:
    """All fingerprints."""
    query = select(marks.c.fingerprint).where(marks.c.fingerprint != "").distinct()
    return list(connection.execute(query).scalars())


def oldest(connection: Connection, *wanted: ColumnElement[bool]) -> Registered | None:
    """The oldest entry that meets the conditions."""
    columns = [marks.c[name] for name in FIELDS]
    query = select(*columns).where(*wanted).order_by(marks.c.created).limit(1)
    row = connection.execute(query).one_or_none()
    return Registered(**row._mapping) if row else None
