"""kill -9 and SIGSTOP at any moment, second services, restored backups: every accepted job ends
once, nothing half-written stays, and nothing that a person made is gone.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from src.core.paths import REPOSITORY
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.service.soak_kit import EVENTS, soak
from tests.waiting import wait_until


@pytest.fixture
def by_hand():
    """A function that starts a worker that no service watches; all are ended."""
    started = []

    def start(service, *arguments):
        command = [sys.executable, "-m", "src.worker", "--maker", "fake", *arguments]
        started.append(
            subprocess.Popen(command, cwd=REPOSITORY, env=service.environment, stderr=service.log)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_each_event_once(running, home):
    soak(running, home, rounds=len(EVENTS), seed=1)


@pytest.mark.soak
def test_fifty_events(running, home):
    soak(running, home, rounds=50, seed=2)


def test_a_worker_frozen_past_its_lease_cannot_publish(running, home, by_hand):
    service = running(NEWSREEL_LEASE="2", NEWSREEL_WORKERS="0").start()
    frozen = by_hand(service, "--lease", "2")  # nobody kills it
    service.ready("/ready")
    store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
    job, _ = store.submit(
        NewJob("generate", "open", {"prompt": "p", "fake_steps": 4, "fake_seconds": 1.0})
    )
    wait_until(lambda: store.get(job.id).state is State.PROCESSING)
    with nobody_writing(home / "newsreel.db"):
        frozen.send_signal(signal.SIGSTOP)
    wait_until(lambda: store.get(job.id).state is State.PENDING)
    other = LeaseStore(store.database)
    wait_until(lambda: other.hold_device(_device(store), "other", "p", {}))
    claimed = other.claim("other", _device(store))
    frozen.send_signal(signal.SIGCONT)
    time.sleep(2.5)
    assert store.get(job.id).state is State.PROCESSING
    assert [path for path in (home / "examples").glob("*.mp4")] == []
    other.complete(claimed, "x.mp4", {})
    assert store.get(job.id).artifact == "x.mp4"


def test_a_frozen_worker_is_told_and_replaced(running, home):
    service = running(NEWSREEL_LEASE="2").start()
    service.ready("/ready")
    name = service.get("/health")["silent"]
    assert name == []
    frozen = service.workers()[0]
    begun = time.monotonic()
    os.kill(frozen, signal.SIGSTOP)
    wait_until(lambda: service.status("/ready") == 503)
    told = service.get("/health")
    assert [worker.startswith("service-0-") for worker in told["silent"]] == [True]
    wait_until(lambda: service.workers() and frozen not in service.workers())
    assert time.monotonic() - begun > 2
    service.ready("/ready")
    assert service.get("/health")["silent"] == []


@contextmanager
def nobody_writing(database):
    """A worker stopped in the middle of a write would keep SQLite's lock, and nobody could take its
    job back.
    """
    held = sqlite3.connect(database, timeout=30, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        held.execute("ROLLBACK")
        held.close()


def _device(store):
    return LeaseStore(store.database).known_workers()[0]["device"]


def test_two_services_share_a_database_but_not_a_device(running, home):
    first, second = running().start(), running().start()
    first.ready("/ready")
    second.ready()
    store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
    jobs = [
        store.submit(NewJob("generate", "open", {"prompt": "p", "fake_seconds": 0.2}))[0].id
        for _ in range(8)
    ]
    wait_until(lambda: all(store.get(job).state is State.COMPLETED for job in jobs))
    starts = [
        event
        for event in store.events(None, limit=10_000)
        if event.data.get("state") == "PROCESSING"
    ]
    assert len({event.data["worker"] for event in starts}) == 1
    assert len(starts) == len(jobs)


def at_work(running, home, drain, steps, seconds):
    """A service in the middle of a job, its store and the job."""
    service = running(NEWSREEL_DRAIN=str(drain)).start()
    service.ready("/ready")
    store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
    wanted = {"prompt": "p", "fake_steps": steps, "fake_seconds": seconds}
    job, _ = store.submit(NewJob("generate", "open", wanted))
    wait_until(lambda: store.get(job.id).state is State.PROCESSING)
    return service, store, job


def test_sigterm_lets_the_running_job_end(running, home):
    service, store, job = at_work(running, home, drain=10, steps=10, seconds=1.5)
    service.stop()
    assert store.get(job.id).state is State.COMPLETED
    assert service.workers() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_again_it_gives_the_job_back_and_ends(running, home, number):
    service, store, job = at_work(running, home, drain=300, steps=600, seconds=300)
    service.process.send_signal(number)
    log = home.parent / "service.log"
    wait_until(lambda: "told again, they are given back now" in log.read_text("utf-8"))
    time.sleep(0.5)
    service.process.send_signal(number)
    service.process.wait(60)
    assert store.get(job.id).state is State.PENDING and service.workers() == []


def test_clients_that_follow_a_job_do_not_hold_up_the_end(running, home):
    service = running(NEWSREEL_DRAIN="1", NEWSREEL_FAKE_SECONDS="60").start()
    service.ready("/ready")
    answers, told = [], []

    def wait_for_a_clip():
        files = {"image": (REPOSITORY / "data" / "samples" / "sample_image_1.png").read_bytes()}
        answers.append(
            httpx.post(
                f"{service.url}/generate-video", files=files, data={"prompt": "p"}, timeout=60
            )
        )

    def follow():
        with httpx.stream("GET", f"{service.url}/jobs/{job}/events", timeout=60) as answer:
            for line in answer.iter_lines():
                told.append(line)

    waiting = threading.Thread(target=wait_for_a_clip)
    waiting.start()
    wait_until(lambda: service.get("/jobs")["jobs"])
    job = service.get("/jobs")["jobs"][0]["id"]
    following = threading.Thread(target=follow)
    following.start()
    wait_until(lambda: service.get("/health")["queue"]["PROCESSING"])
    wait_until(lambda: "event: state" in told)
    begin = time.monotonic()
    service.stop()
    assert time.monotonic() - begin < 60  # what the clients would have waited
    waiting.join(5)
    following.join(5)
    (answer,) = answers
    assert (answer.status_code, answer.json()["id"]) == (202, job)
    assert "event: end" not in told and not following.is_alive()
    assert JobStore(Database(f"sqlite:///{home / 'newsreel.db'}")).get(job).state is State.PENDING
