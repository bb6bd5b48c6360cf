"""The service on PostgreSQL, which goes away for a while: nothing is lost, and it goes on by
itself.
"""

import threading
import time
import urllib.error

import pytest

from src.artifacts.registry import open_store
from src.core.errors import CancelledError
from src.database.database import Database
from src.database.trouble import UnavailableError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.database.postgres_kit import postgres_server
from tests.waiting import wait_until


@pytest.fixture
def server():
    with postgres_server() as made:
        yield made


def test_the_service_outlives_a_database_that_is_away(running, server, home):
    service = running(NEWSREEL_DATABASE=server.url, NEWSREEL_LEASE="10").start()
    service.ready("/ready")
    store = JobStore(Database(server.url))
    request = {"prompt": "p", "fake_steps": 4, "fake_seconds": 1.0}
    jobs = [store.submit(NewJob("generate", "open", request))[0].id for _ in range(2)]
    wait_until(lambda: store.get(jobs[0]).state is State.PROCESSING)
    server.stop()
    time.sleep(3)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        service.get("/jobs")
    assert service.get("/health")["status"] == "no database"
    server.start()
    wait_until(lambda: all(store.get(job).state is State.COMPLETED for job in jobs))
    assert [path.name for path in sorted((home / "examples").glob("*.mp4"))] == sorted(
        store.get(job).artifact for job in jobs
    )
    store.database.engine.dispose()


def test_a_worker_that_is_cut_off_for_a_lease_stops_its_job(server, home):
    """Others take it for dead by then."""

    class Watched(FakeRunner):
        def make(self, job, path, watch):
            try:
                return super().make(job, path, watch)
            except CancelledError:
                stopped.set()
                raise

    database, stopped = Database(server.url), threading.Event()
    database.migrate()
    store = JobStore(database)
    job = store.submit(NewJob("generate", "a", {"fake_steps": 600, "fake_seconds": 60.0}))[0]
    worker = Worker(LeaseStore(database, lease_s=1.5), Watched(), open_store(), "host/x")
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: store.get(job.id).state is State.PROCESSING)
    server.stop()
    assert stopped.wait(30)
    server.start()
    wait_until(lambda: _token(store, job) > 1)  # it goes on by itself, under another lease
    assert store.get(job.id).artifact is None
    worker.giving_back.set()
    worker.stopping.set()
    thread.join()
    assert list((home / "examples").glob("*.mp4")) == []
    database.engine.dispose()


def _token(store, job):
    try:
        return store.get(job.id).token
    except UnavailableError:
        return 0
