import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from src.core.errors import BadInputError, OutputError
from src.database import database as module
from src.database.database import BUSY_MS, Database


@pytest.fixture
def holder(tmp_path, database):
    """Another program that has the write lock."""
    connection = sqlite3.connect(
        tmp_path / "jobs.db", isolation_level=None, check_same_thread=False
    )
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
    assert 0 <= taken - free[0] < BUSY_MS / 1000 / 2  # not at the end of the wait


@pytest.mark.parametrize(
    ("url", "words"),
    [("nonsense", "cannot be read"), ("mysql://x/y", "must be one of: sqlite, postgresql"),
     ("postgresql+nope://x/y", "no database driver"),
     ("sqlite:////proc/none/x.db", "cannot be made"), ("sqlite:////proc", "cannot be opened"),
     ("postgresql+psycopg://a:hush@127.0.0.1:1/x", "cannot be opened")],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_one_sentence(url, words):
    with pytest.raises((BadInputError, OutputError), match=words) as caught:
        Database(url).migrate()
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_database_or_a_newer_one_is_one_sentence(tmp_path, database):
    (tmp_path / "text.db").write_text("no database at all" * 100)
    with pytest.raises(OutputError, match="not a database"):
        Database(f"sqlite:///{tmp_path / 'text.db'}").migrate()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BadInputError, match="newer version"):
        database.migrate()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LEASE", "soon", "lease"),
        ("KEEP_DAYS", "inf", "keep_days"),
        ("HOME", "/proc/none", "cannot be made"),
    ],
)
def test_the_service_refuses_a_wrong_setting_in_one_line(name, value, words):
    variables = os.environ | {f"NEWSREEL_{name}": value}
    code = [sys.executable, "-c", "import src.api_server"]
    done = subprocess.run(code, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode in (2, 6)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
