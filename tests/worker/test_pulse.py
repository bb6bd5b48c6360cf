"""Who does not get on is noticed: hung stages, frozen processes, jobs without end; a database that
is away is waited for.
"""

import hashlib
import os
import shutil
import signal
import sqlite3
import threading
import time

import pytest
from PIL import Image

from src.artifacts.registry import open_store
from src.core.errors import BadInputError
from src.core.paths import examples
from src.database.database import Database
from src.database.trouble import trouble_of
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.engine_runner import EngineRunner
from src.worker.loop import Worker
from src.worker.pulse import STALLED, WAITING, Heart, Pulse
from src.worker.runners import FakeRunner
from src.worker.supervise import Supervisor
from src.worker.wall import Wall
from tests.waiting import wait_until


@pytest.fixture
def store(database):
    return JobStore(database)


def _submit(store, **request):
    return store.submit(NewJob("generate", "a", {"prompt": "p"} | request))[0]


def _worker(database, lease_s=60.0, maker=None, **values):
    leases = LeaseStore(database, lease_s=lease_s)
    return Worker(
        leases, maker or FakeRunner(), open_store(), "host/fake", **{"once": True} | values
    )


def test_each_stage_has_its_own_limit_and_a_setting_shortens_those_of_jobs():
    pulse = Pulse()
    for stage, limit in (
        ("start", 1800),
        ("load", 1800),
        ("denoise", 900),
        ("anything", 900),
        (WAITING, float("inf")),
    ):
        pulse.beat(stage)
        assert pulse.limit() == limit
    short = Pulse(stall=5)
    for stage, limit in (("start", 1800), ("denoise", 5), (WAITING, float("inf"))):
        short.beat(stage)
        assert short.limit() == limit


def test_the_heart_beats_while_the_work_gets_on_and_then_ends_the_process():
    reader, writer = os.pipe()
    ended = threading.Event()
    pulse = Pulse(limits={"denoise": 0.4})
    pulse.beat("denoise")
    heart = Heart(pulse, 0.4, writer, lambda code: code == STALLED and ended.set())
    heart.start()
    assert os.read(reader, 1) == b"."
    assert ended.wait(20)
    heart.stop()
    for end in (reader, writer):
        os.close(end)


def test_a_hung_job_keeps_no_lease(database, store):
    job = _submit(store, fake_hang=1.5)
    worker = _worker(database, lease_s=0.4, pulse=Pulse(stall=0.3))
    thread = threading.Thread(target=worker.run)
    thread.start()
    other = LeaseStore(database, lease_s=0.4)
    wait_until(lambda: other.expire() == [job.id])
    thread.join()
    assert (store.get(job.id).state, store.get(job.id).attempts) == (State.COMPLETED, 2)
    assert [path.name for path in examples().glob("*.mp4")] == [f"p-{job.id}-2.mp4"]


def test_a_job_that_takes_too_long_fails_with_a_sentence(database, store):
    job = _submit(store, fake_steps=200, fake_seconds=60)
    _worker(database, limit_s=0.2).run()
    found = store.get(job.id)
    assert (found.state, found.error["type"]) == (State.FAILED, "TimeLimitError")
    assert "a job may take" in found.error["detail"]


def _supervised(tmp_path, *arguments):
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate()
    leases = LeaseStore(database, lease_s=2.0)
    return JobStore(database), Supervisor(
        leases, ["--maker", "fake", "--lease", "2", *arguments], 1, 1
    )


def test_a_frozen_worker_is_killed_and_replaced(tmp_path):
    store, supervisor = _supervised(tmp_path)
    supervisor.start()
    try:
        job = _submit(store, fake_seconds=1.5)
        wait_until(lambda: store.get(job.id).state is State.PROCESSING)
        frozen = supervisor.children[0].process
        begun = time.monotonic()
        os.kill(frozen.pid, signal.SIGSTOP)
        wait_until(lambda: frozen.poll() is not None)
        assert time.monotonic() - begun > 2.0  # not before a lease has passed
        wait_until(lambda: store.get(job.id).state is State.COMPLETED)
        assert store.get(job.id).attempts == 2
    finally:
        supervisor.stop()


def test_a_hung_worker_is_replaced_and_the_job_done(tmp_path):
    store, supervisor = _supervised(tmp_path, "--stall", "1")
    supervisor.start()
    try:
        job = _submit(store, fake_hang=600)
        wait_until(lambda: store.get(job.id).state is State.COMPLETED)
        assert store.get(job.id).attempts == 2
    finally:
        supervisor.stop()


class Away:
    """Makes writes fail as a locked database does, or another one, as long as it is wanted."""

    def __init__(self, database, monkeypatch, code=sqlite3.SQLITE_BUSY):
        self.write, self.away = Database.write, False
        self.error = sqlite3.OperationalError()
        self.error.sqlite_errorcode = code
        monkeypatch.setattr(Database, "write", lambda database: self(database))
        monkeypatch.setattr("src.worker.loop.AGAIN_S", 0.05)

    def __call__(self, database):
        if self.away:
            raise trouble_of(self.error)
        return self.write(database)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL])
def test_a_worker_waits_for_its_database_and_publishes_then(database, store, monkeypatch, code):
    away = Away(database, monkeypatch, code)

    class Meanwhile(FakeRunner):
        def make(self, job, path, watch):
            away.away = True
            made = super().make(job, path, watch)
            threading.Timer(0.5, lambda: setattr(away, "away", False)).start()
            return made

    job = _submit(store)
    _worker(database, maker=Meanwhile()).run()
    assert (store.get(job.id).state, store.get(job.id).attempts) == (State.COMPLETED, 1)


def test_an_idle_worker_waits_too(database, store, monkeypatch):
    away, job = Away(database, monkeypatch), _submit(store)
    away.away = True
    worker = _worker(database)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: worker.pulse.stage == WAITING)
    away.away = False
    thread.join(20)
    assert store.get(job.id).state is State.COMPLETED


def test_a_worker_that_is_told_to_hurry_does_not_wait(database, store, monkeypatch):
    away = Away(database, monkeypatch)

    class Meanwhile(FakeRunner):
        def make(self, job, path, watch):
            away.away = True
            made = super().make(job, path, watch)
            worker.stopping.set()
            worker.giving_back.set()
            return made

    job, worker = _submit(store), _worker(database, maker=Meanwhile())
    worker.run()
    assert store.get(job.id).state is State.PROCESSING  # its lease runs out


def test_a_worker_says_that_its_model_is_gone(database, tmp_path):
    from src.core.paths import CHECKPOINTS
    from src.pipelines.models import spec_of_folder

    folder = tmp_path / "mine"
    shutil.copytree(CHECKPOINTS / "nano", folder)
    maker = object.__new__(EngineRunner)  # without torch and its devices
    maker.spec = spec_of_folder(folder)
    worker = _worker(database, maker=maker)
    told = lambda: worker.leases.known_workers()[0]["info"].get("trouble")  # noqa: E731
    assert worker._hold()
    assert told() is None
    next((folder / "transformer").glob("*.safetensors")).unlink()
    worker._held = float("-inf")
    assert worker._hold()
    assert "is not whole" in told()


def test_a_stored_photograph_that_is_another_by_now_is_refused(photograph, tmp_path):
    maker = object.__new__(EngineRunner)
    maker.wall = Wall()
    kept = tmp_path / f"{hashlib.sha256(photograph.read_bytes()).hexdigest()}.png"
    shutil.copy(photograph, kept)
    assert maker._stored_photograph(kept).sha256 == kept.stem
    Image.new("RGB", (64, 64)).save(kept)
    with pytest.raises(BadInputError, match="damaged since it was sent"):
        maker._stored_photograph(kept)
    assert maker._stored_photograph(photograph).suffix == ".png"
    maker.wall.close()
