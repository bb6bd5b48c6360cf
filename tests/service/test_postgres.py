"""The service on PostgreSQL, which goes away for a while: nothing is lost, and it goes on by
itself.
"""

import time
import urllib.error

import pytest

from src.database.database import Database
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
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
