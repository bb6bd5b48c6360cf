"""All rows of one database into another, empty one:
backups, restores, and the move to PostgreSQL.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from src.core.errors import BadInputError
from src.database.database import Database
from src.database.tables import audit, events, jobs, keys, metadata

BATCH = 1000


def is_empty(database: Database) -> bool:
    """Whether nobody has used it: it has neither jobs nor keys, and nothing was audited."""
    with database.read() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (jobs, keys, audit)
        ]
    return not any(counts)


def copy_rows(source: Database, target: Database) -> int:
    """Copy every table in one transaction, as one state of the source; returns how many jobs there
    are.

    Both are of this version. Raises BadInputError where the target is not empty.
    """
    if not is_empty(target):
        shown = target.engine.url.render_as_string(hide_password=True)
        raise BadInputError(
            f"{shown} holds jobs or keys already, or an audit log; name an empty database"
        )
    with source.read() as origin, target.write() as connection:
        _stay(origin)
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
            for rows in _batches(origin, table):
                connection.execute(insert(table), rows)
        _go_on_counting(connection)
        return connection.execute(select(func.count()).select_from(jobs)).scalar_one()


def _stay(origin: Connection) -> None:
    """See one state, as on SQLite: each statement of PostgreSQL sees the newest one otherwise."""
    if origin.dialect.name == "postgresql":
        origin.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    rows = connection.execution_options(yield_per=BATCH).execute(select(table)).mappings()
    while some := [dict(row) for row in islice(rows, BATCH)]:
        yield some


def _go_on_counting(connection: Connection) -> None:
    """PostgreSQL counts events by a sequence of its own; SQLite goes on after the last."""
    if connection.dialect.name == "postgresql":
        last = connection.execute(select(func.max(events.c.id))).scalar()
        if last is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence('events', 'id'), :last)"), {"last": last}
            )
