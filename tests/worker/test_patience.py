"""A worker whose store is away: it waits, and stops waiting when its job is to stop."""

import threading

import pytest

from src.artifacts.memory import MemoryStore
from src.artifacts.store import StoreAwayError
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.loop import Worker
from src.worker.patience import WorkerPatience
from src.worker.pulse import WAITING, Pulse
from src.worker.runners import FakeRunner
from tests.waiting import wait_until


class Away(MemoryStore):
    """Cannot be reached while `away`."""

    def __init__(self, patience):
        super().__init__()
        self.away, self.patience = True, patience

    def put(self, key, data, durable=True, once=False):
        while self.away:
            error = StoreAwayError("the store cannot be reached")
            if not self.patience(error, 0.0):
                raise error
        super().put(key, data, durable, once)

    def delete(self, *keys):
        if self.away:
            raise StoreAwayError("the store cannot be reached")
        super().delete(*keys)


@pytest.fixture
def at_work(tmp_path):
    """A worker that waits to publish: its store of jobs, its files, itself, and its job's id."""
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate()
    store, pulse = JobStore(database), Pulse()
    job, _ = store.submit(NewJob("generate", "desk", {"prompt": "p"}))
    patience = WorkerPatience(pulse)
    files = Away(patience)
    worker = Worker(LeaseStore(database), FakeRunner(), files, "host/fake", pulse=pulse,
                    once=True, poll_s=0.02)  # fmt: skip
    patience.over = worker.is_to_stop
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: pulse.stage == WAITING)
    yield store, files, worker, job.id, thread
    files.away = False
    worker.stopping.set()
    worker.giving_back.set()
    thread.join()
    database.engine.dispose()


def test_it_publishes_once_the_store_is_back(at_work):
    store, files, _, job, thread = at_work
    assert store.get(job).state is State.PROCESSING
    files.away = False
    thread.join(30)
    done = store.get(job)
    assert (done.state, done.attempts) == (State.COMPLETED, 1)
    assert files.look(f"examples/{done.artifact}") is not None


def test_it_gives_the_job_back_without_counting_where_it_is_to_end(at_work):
    store, _, worker, job, thread = at_work
    worker.stopping.set()
    worker.giving_back.set()
    thread.join(30)
    back = store.get(job)
    assert (back.state, back.attempts, back.artifact) == (State.PENDING, 0, None)


def test_it_hears_that_the_job_is_cancelled(at_work):
    store, _, _, job, _ = at_work
    store.cancel(job)
    wait_until(lambda: store.get(job).state is State.CANCELLED)
