"""Schemas without their migrations, which take longer than many a test that needs one."""

import os
import sqlite3
import threading
from contextlib import closing

from sqlalchemy import Engine

from src.database.database import upgrade_schema

MIGRATING = "tests/database/"
TABLES = "SELECT count(*) FROM sqlite_master"


class SchemaCopies:
    """In place of `upgrade_schema`: the first empty SQLite database is migrated, later ones are
    copies of it. What has tables, is of another kind or is what a test is about, is migrated.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._first: sqlite3.Connection | None = None

    def __call__(self, engine: Engine) -> None:
        if os.environ.get("PYTEST_CURRENT_TEST", "").startswith(MIGRATING) or not _is_empty(engine):
            upgrade_schema(engine)
            return
        with self._turn, closing(engine.raw_connection()) as connection:
            if self._first is None:
                upgrade_schema(engine)
                self._first = sqlite3.connect(":memory:", check_same_thread=False)
                connection.driver_connection.backup(self._first)
            else:
                self._first.backup(connection.driver_connection)


def _is_empty(engine: Engine) -> bool:
    if engine.dialect.name != "sqlite":
        return False
    with closing(engine.raw_connection()) as connection:
        return not connection.driver_connection.execute(TABLES).fetchone()[0]
