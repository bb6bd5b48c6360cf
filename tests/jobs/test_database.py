import sqlite3
import threading
import time

import pytest

from src.core.errors import OutputError
from src.jobs import database as module
from src.jobs.database import Database


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    made.migrate()
    yield made
    made.engine.dispose()


@pytest.fixture
def holder(tmp_path, database):
    """Another program that has the write lock."""
    connection = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_lock_that_is_never_given_back_is_said(database, holder, monkeypatch):
    monkeypatch.setattr(module, "BUSY_MS", 200)
    with pytest.raises(OutputError, match="stayed locked"), database.write():
        raise AssertionError("the lock is somebody else's")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0


def test_a_lock_that_is_given_back_is_taken_soon(database, holder):
    free = []

    def let_go():
        time.sleep(0.6)
        free.append(time.monotonic())
        holder.execute("COMMIT")

    thread = threading.Thread(target=let_go)
    thread.start()
    with database.write():
        taken = time.monotonic()
    thread.join()
    assert 0 <= taken - free[0] < 0.5
