"""Two workers, processes of their own, on one queue of 500 jobs: none is published twice, none is
lost.
"""

import subprocess
import sys
import threading
from collections import Counter

from src.core.paths import examples
from src.database.database import Database
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore

WORK = """
import sys
from src.artifacts.registry import open_store
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
url, device = sys.argv[1:]
Worker(LeaseStore(Database(url)), FakeRunner(), open_store(), device, name=device, once=True).run()
"""
JOBS, SUBMITTERS = 500, 10


def test_two_workers_make_five_hundred_jobs_once_each(tmp_path):
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    database = Database(url)
    database.migrate()
    store = JobStore(database)
    ids = _submit(store)
    workers = [subprocess.Popen([sys.executable, "-c", WORK, url, f"host/{name}"]) for name in "ab"]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    jobs = store.many(ids)
    assert len(jobs) == JOBS
    assert all((job.state, job.attempts) == (State.COMPLETED, 1) for job in jobs.values())
    assert _published(store) == Counter(ids)
    assert {path.name for path in examples().glob("*.mp4")} == {
        job.artifact for job in jobs.values()
    }
    for job in jobs.values():
        assert (examples() / job.artifact).read_text("utf-8") == f"clip of {job.id}"
    assert len(_starts(store)) == 2
    database.engine.dispose()


def _submit(store):
    """500 jobs from ten threads; their ids."""
    ids = []
    few = [NewJob("generate", "a", {"prompt": "p", "fake_steps": 1})] * (JOBS // SUBMITTERS)
    threads = [
        threading.Thread(target=lambda: ids.extend([store.submit(new)[0].id for new in few]))
        for _ in range(SUBMITTERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ids


def _published(store):
    """How often each job was completed."""
    events = store.events(None, limit=100_000)
    return Counter(event.job_id for event in events if event.data.get("state") == "COMPLETED")


def _starts(store):
    """The workers that took jobs."""
    events = store.events(None, limit=100_000)
    return {event.data["worker"] for event in events if event.data.get("state") == "PROCESSING"}
