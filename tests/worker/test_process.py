import os
import subprocess
import sys

import pytest

from src.database.database import Database
from src.database.trouble import FULL, UnavailableError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.process import identity, is_dead
from src.worker.supervise import Supervisor
from tests.waiting import wait_until


def test_the_living_and_the_dead():
    assert not is_dead(identity())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = identity(child.pid)
    assert not is_dead(who)
    child.kill()
    child.wait()
    assert is_dead(who)
    host, boot, _, started = identity().split("/")
    assert is_dead(f"{host}/another-boot/{os.getpid()}/{started}")
    assert is_dead(f"{host}/{boot}/{os.getpid()}/1.00")
    assert not is_dead(f"elsewhere/{boot}/1/1.00")
    assert not any(map(is_dead, ("", "p", f"{host}/{boot}", f"{host}/{boot}/x/1", "a/b/c/d/e")))


def test_who_a_process_is_does_not_change_with_the_clock(monkeypatch):
    who = identity()
    monkeypatch.setattr("psutil.boot_time", lambda: 1.0)
    monkeypatch.setattr("psutil.Process.create_time", lambda self: 12345.0)
    assert identity() == who
    assert not is_dead(who)


def test_the_supervisor_starts_workers_again_and_gives_their_jobs_back(tmp_path):
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    database = Database(url)
    database.migrate()
    store, leases = JobStore(database), LeaseStore(database)
    job, _ = store.submit(NewJob("generate", "a", {"prompt": "x", "fake_seconds": 3}))
    supervisor = Supervisor(leases, ["--maker", "fake"], count=1, drain_s=1)
    supervisor.start()
    try:
        wait_until(lambda: store.get(job.id).state is State.PROCESSING)
        supervisor.children[0].process.kill()
        wait_until(lambda: store.get(job.id).state is State.COMPLETED)
        assert store.get(job.id).attempts == 2
        assert supervisor.alive() == 1
    finally:
        supervisor.stop()
    assert supervisor.alive() == 0
    assert leases.known_workers() == []


@pytest.mark.parametrize(
    "error", [UnavailableError("away", "cannot be reached"), UnavailableError(*FULL)]
)
def test_all_workers_end_also_where_the_database_takes_nothing(tmp_path, monkeypatch, error):
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate()
    leases = LeaseStore(database)
    supervisor = Supervisor(leases, ["--maker", "fake"], count=2, drain_s=1)
    supervisor.start()
    wait_until(lambda: supervisor.alive() == 2)
    told = []

    def gone(worker):
        told.append(supervisor.alive())
        raise error

    monkeypatch.setattr(leases, "worker_gone", gone)
    supervisor.stop()
    assert told == [0, 0], "each is told of when all have ended"


def test_recovery_at_the_start_frees_what_an_earlier_service_held(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate()
    store, leases = JobStore(database), LeaseStore(database)
    host, boot, _, _ = identity().split("/")
    leases.hold_device("d", "dead", f"{host}/{boot}/1/1.00", {})
    leases.hold_device("e", "alive", identity(), {})
    job, _ = store.submit(NewJob("generate", "a", {}))
    leases.claim("dead", "d")
    Supervisor(leases, [], count=0).recover()
    assert store.get(job.id).state is State.PENDING
    assert [worker["worker"] for worker in leases.known_workers()] == ["alive"]
