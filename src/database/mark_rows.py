"""Rows of the register of marks and fingerprints: kept when their job is not, so that what is found
years later still has a name.
"""

from sqlalchemy import Connection, delete, insert, select

from src.core.register import Registered
from src.database.tables import marks

FIELDS = ("artifact", "sha256", "mark", "key", "fingerprint", "job")


def add(connection: Connection, entry: Registered, now: float) -> None:
    """A row; it takes the place of one of the same artifact."""
    connection.execute(delete(marks).where(marks.c.artifact == entry.artifact))
    values = {name: getattr(entry, name) for name in FIELDS}
    connection.execute(insert(marks).values(**values, created=now))


def all_rows(connection: Connection) -> list[Registered]:
    """Oldest first."""
    columns = [marks.c[name] for name in FIELDS]
    return [Registered(**row._mapping) for row in
            connection.execute(select(*columns).order_by(marks.c.created))]  # fmt: skip
