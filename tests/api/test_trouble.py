"""A database that is locked, read-only, damaged or gone is one sentence,
and works again by itself.
"""

import shutil
import sqlite3
import threading
import time

import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.database import database as module
from src.database.database import Database
from src.database.trouble import UnavailableError


@pytest.fixture
def holder(tmp_path, database, monkeypatch):
    """Another program that has the write lock."""
    monkeypatch.setattr(module, "BUSY_MS", 300)
    monkeypatch.setattr(module, "STILL_BUSY_MS", 50)
    connection = sqlite3.connect(
        tmp_path / "jobs.db", isolation_level=None, check_same_thread=False
    )
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def _key(database):
    return Accounts(database).create("k", Role.READ)


def test_nobody_queues_for_a_lock_that_is_not_given_back(database, holder):
    begun, told = time.monotonic(), []

    def write():
        with pytest.raises(UnavailableError) as caught:
            _key(database)
        told.append(caught.value.kind)

    threads = [threading.Thread(target=write) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["locked"] * 30
    assert time.monotonic() - begun < 30 * 0.3  # as one after the other would take
    assert database.trouble.kind == "locked"
    holder.execute("COMMIT")
    _key(database)
    assert database.trouble is None


def test_a_database_that_may_only_be_read_says_so_and_works_again(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'ro.db'}")
    database.migrate()
    with database.engine.connect() as connection:  # as the system answers where files are read-only
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(UnavailableError, match="read-only") as caught:
        for _ in range(20):
            _key(database)
    assert (caught.value.kind, caught.value.http_status) == ("read-only", 503)
    _key(database)
    database.engine.dispose()


def test_a_database_whose_disk_is_full_says_so_and_works_again(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'full.db'}")
    database.migrate()

    def room(pages):  # as the system answers where a disk has no more
        with database.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    room(1)  # no less than it has
    with pytest.raises(UnavailableError, match="its disk is full; free some space") as caught:
        for _ in range(1000):
            _key(database)
    assert (caught.value.kind, caught.value.http_status) == ("full", 507)
    room(1 << 20)
    _key(database)
    assert database.trouble is None
    database.engine.dispose()


def test_a_damaged_database_says_so_and_a_backup_in_its_place_works(tmp_path, database):
    _key(database)
    database.engine.dispose()
    file, whole = tmp_path / "jobs.db", tmp_path / "whole.db"
    shutil.copy(file, whole)
    file.write_bytes(b"rubbish" * 4000)
    for call in (lambda: _key(database), lambda: Accounts(database).all()):
        with pytest.raises(UnavailableError, match="is damaged; restore a backup"):
            call()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"jobs.db{suffix}").unlink(missing_ok=True)
    whole.replace(file)
    assert len(Accounts(database).all()) == 1
    _key(database)
    assert database.trouble is None


def test_the_service_answers_503_and_goes_on(make_client, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_MS", 200)
    client = make_client(work=False, auth="off", lease=60)
    store = client.app.state.service.store
    from src.jobs.model import NewJob

    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    holder = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    answer = client.put(f"/jobs/{job.id}/pin")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "locked" in answer.json()["detail"]
    assert client.get(f"/jobs/{job.id}").status_code == 200
    assert client.get("/health").json()["status"] == "database locked"
    assert client.get("/ready").status_code == 503
    holder.execute("COMMIT")
    holder.close()
    assert client.put(f"/jobs/{job.id}/pin").status_code == 200
    assert client.get("/health").json()["status"] == "ok"
