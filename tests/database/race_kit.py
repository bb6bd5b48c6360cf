"""Two who work on one database, in an order that the test says."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from src.database.database import Database
from tests.waiting import wait_until


@contextmanager
def meanwhile(
    database: Database, place: Any, name: str, act: Callable[[], Any], call: int = 1
) -> Iterator[list[Future[Any]]]:
    """Just before this thread calls `place.name`, for the first time or that one, another one does
    `act`: when the call goes on, that has ended, or waits for a lock of PostgreSQL. Yields what
    became of it, in a list; what it raised is raised at the end.
    """
    usual, here, calls = getattr(place, name), threading.current_thread(), itertools.count(1)
    others: list[Future[Any]] = []

    def late(*values: Any, **named: Any) -> Any:
        if threading.current_thread() is here and next(calls) == call:
            others.append(pool.submit(act))
            wait_until(lambda: others[0].done() or _somebody_waits(database))
        return usual(*values, **named)

    try:
        with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, name, late)
            yield others
    finally:  # also where this thread raised what the test waits for
        assert others, f"{name} was not called"
        others[0].result()


def _somebody_waits(database: Database) -> bool:
    if database.is_sqlite:
        return False
    with database.read() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(connection.exec_driver_sql(query).scalar_one())


def slow_rows(database: Database, act: str, table: str) -> None:
    """Each row of the table takes a while, so that who locks several meets who locks the same. act:
    INSERT or UPDATE. For PostgreSQL.
    """
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER slowly AFTER {act} ON {table} FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
