"""Permits on a real RabbitMQ: doubled, lost, late or wiped ones do no harm, and nobody waits for a
broker that is away.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from src.api.metrics import ServiceMetrics
from src.api.reaper import PermitReaper
from src.artifacts.memory import MemoryStore
from src.broker.celery_app import ANSWER_S, make_celery
from src.broker.permits import BrokerPermits
from src.core.errors import BadInputError
from src.core.kinds import KINDS
from src.core.paths import REPOSITORY
from src.jobs.leases import LeaseStore
from src.jobs.model import State
from src.jobs.store import JobStore
from tests.broker.fleet_kit import completions, fleet, submit
from tests.broker.rabbit_kit import free_port, rabbit  # noqa: F401
from tests.waiting import wait_until

SLOW = {"fake_steps": 200, "fake_seconds": 60.0}


@pytest.fixture
def store(database):
    return JobStore(database)


@pytest.fixture
def permits(rabbit):  # noqa: F811
    """Of empty queues."""
    made = BrokerPermits(rabbit.url)
    yield made
    with made.app.connection_for_write() as connection:
        for kind in KINDS:
            made.ready(kind) and connection.default_channel.queue_purge(f"newsreel.{kind}")
    made.stop()


@pytest.fixture
def workers(rabbit, database, home):  # noqa: F811
    with fleet(home, database.url, rabbit.url) as made:
        yield made


def _done(store, *jobs):
    wait_until(lambda: all(store.get(job.id).state is State.COMPLETED for job in jobs))


def _taken(store, job):
    wait_until(lambda: store.get(job.id).state is State.PROCESSING)


def test_a_permit_brings_a_job_and_what_is_too_many_is_dropped(store, permits, workers):
    workers.start()
    job = submit(store)
    for _ in range(3):
        permits.publish("generate", job.id)
    permits.publish("upscale", "of nobody")
    _done(store, job)
    wait_until(lambda: permits.ready("generate") == permits.ready("upscale") == 0)
    assert completions(store, job.id) == 1
    assert store.get(job.id).attempts == 1
    assert workers.stop() == [0]


def test_jobs_without_permits_get_theirs_from_the_reaper(store, permits, workers):
    jobs = [submit(store, kind) for kind in ("generate", "upscale") for _ in range(5)]
    reaper = PermitReaper(store, permits)
    assert reaper.publish_missing() == 10
    wait_until(lambda: permits.ready("generate") == permits.ready("upscale") == 5)
    assert reaper.publish_missing() == 0
    with permits.app.connection_for_write() as connection:
        connection.default_channel.queue_purge("newsreel.generate")
    assert reaper.publish_missing() == 5
    workers.start()
    _done(store, *jobs)


def test_a_worker_takes_the_kinds_it_is_told_to(store, permits, workers):
    workers.start("w0", "--kinds", "upscale")
    mine, other = submit(store, "upscale"), submit(store, "generate")
    for job in (mine, other):
        permits.publish("upscale", job.id)  # permits of another kind would be taken by nobody
    _done(store, mine)
    wait_until(lambda: permits.ready("upscale") == 0)
    assert store.get(other.id).state is State.PENDING
    workers.start("w1")
    permits.publish("generate", other.id)
    _done(store, other)


def test_sigterm_gives_the_job_back_with_its_permit_and_counts_no_attempt(store, permits, workers):
    workers.start("w0", "--drain", "0.5")
    job = submit(store, **SLOW)
    permits.publish("generate", job.id)
    _taken(store, job)
    assert workers.stop() == [0]
    assert (store.get(job.id).state, store.get(job.id).attempts) == (State.PENDING, 0)
    wait_until(lambda: permits.ready("generate") == 1)


def test_progress_and_cancellation_are_as_without_a_broker(store, permits, workers):
    workers.start()
    job = submit(store, **SLOW)
    permits.publish("generate", job.id)
    wait_until(lambda: store.get(job.id).done > 0)
    store.cancel(job.id)
    wait_until(lambda: store.get(job.id).state is State.CANCELLED)
    wait_until(lambda: permits.ready("generate") == 0)


def test_a_short_job_is_taken_by_who_is_free_not_kept_behind_a_long_one(store, permits, workers):
    workers.start("w0")
    long = submit(store, **SLOW)
    permits.publish("generate", long.id)
    _taken(store, long)
    short = submit(store)
    permits.publish("generate", short.id)
    workers.start("w1")
    _done(store, short)
    assert store.get(long.id).state is State.PROCESSING


def test_nobody_waits_for_a_frozen_broker_and_nothing_is_lost(rabbit, store, permits, workers):  # noqa: F811
    workers.start()
    rabbit.signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        jobs = [submit(store) for _ in range(20)]
        for job in jobs:
            permits.publish("generate", job.id)
        assert time.monotonic() - begin < 20 * ANSWER_S / 2
    finally:
        rabbit.signal(signal.SIGCONT)
    reaper = PermitReaper(store, permits, every_s=0.5)
    reaper.start()
    _done(store, *jobs)
    reaper.stop()
    assert all(completions(store, job.id) == 1 for job in jobs)


def test_a_broker_that_does_not_answer_is_shown_as_down(database, store):
    nobody = BrokerPermits(f"amqp://guest:guest@127.0.0.1:{free_port()}//")
    metrics = ServiceMetrics(store, LeaseStore(database), MemoryStore(), nobody)
    assert b'newsreel_broker_up{kind="amqp"} 1.0' in metrics.text()
    assert nobody.ready("generate") is None
    assert b'newsreel_broker_up{kind="amqp"} 0.0' in metrics.text()
    without = ServiceMetrics(store, LeaseStore(database), MemoryStore())
    assert b"newsreel_broker_up{" not in without.text()
    nobody.stop()


def test_what_is_missing_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(BadInputError, match=r"Celery: pip install -r requirements-fleet\.txt"):
        make_celery("amqp://127.0.0.1/")
    with pytest.raises(BadInputError, match="no address of RabbitMQ"):
        make_celery("redis://127.0.0.1/")


def test_a_worker_without_its_broker_says_so_in_a_sentence(rabbit, database, home):  # noqa: F811
    nobody = f"amqp://guest:hush@127.0.0.1:{free_port()}//"
    for variables, wanted in (
        ({"NEWSREEL_BROKER": nobody}, "the broker at amqp://127.0.0.1"),
        ({"NEWSREEL_BROKER": ""}, "--broker needs NEWSREEL_BROKER"),
    ):
        own = {"NEWSREEL_HOME": str(home), "NEWSREEL_DATABASE": database.url} | variables
        done = subprocess.run(
            [sys.executable, "-m", "src.worker", "--broker", "--maker", "fake"],
            cwd=REPOSITORY, env=os.environ | own, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode in (2, 6)
        assert len(done.stderr.splitlines()) == 1
        assert wanted in done.stderr
        assert "hush" not in done.stderr
