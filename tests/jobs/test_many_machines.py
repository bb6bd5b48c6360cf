"""What machines that share a PostgreSQL share besides: its clock, its events, its counts."""

import threading
import time

import pytest
from sqlalchemy import insert, select, update

from src.api.metrics import ServiceMetrics
from src.artifacts.memory import MemoryStore
from src.core.errors import BadInputError, OutputError
from src.core.kinds import kinds_among
from src.database.database import TCP_LIMITS, Database, within_limits
from src.database.tables import devices, events, facts
from src.jobs.holding import FORGOTTEN_S
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.worker.patience import wait_for
from src.worker.pulse import Pulse

OFF_S = 90.0


@pytest.fixture
def database(any_database):
    return any_database


@pytest.fixture
def shared(postgres_database):
    return postgres_database


def _new(kind="generate", **values):
    return NewJob(kind, "a", {"prompt": "p"}, **values)


@pytest.mark.parametrize("off", [OFF_S, -OFF_S])
def test_a_machine_whose_clock_is_wrong_takes_nothing_and_loses_nothing(shared, monkeypatch, off):
    store, leases = JobStore(shared), LeaseStore(shared, lease_s=60)
    store.submit(_new())
    assert leases.hold_device("host/x", "here", "p", {})
    job = leases.claim("here", "host/x")
    here = time.time()
    monkeypatch.setattr("time.time", lambda: here + off)
    assert not leases.hold_device("host/x", "there", "p", {})
    assert leases.expire() == []
    assert leases.hold_device("host/y", "there", "p", {})
    other = store.submit(_new())[0]
    theirs = leases.claim("there", "host/y")
    assert theirs is not None and theirs.id == other.id
    monkeypatch.undo()
    assert leases.expire() == []
    leases.heartbeat(theirs)
    leases.complete(job, "x.mp4", {})
    assert all(abs(worker["silent_s"]) < 60 for worker in leases.known_workers())
    assert abs(store.get(job.id).finished_at - here) < 60


def test_a_worker_that_was_silent_for_a_day_is_forgotten_with_its_device(database):
    now = [1_790_000_000.0]
    leases = LeaseStore(database, lambda: now[0])
    leases.hold_device("pod-a/cuda:0", "killed", "p", {})
    now[0] += FORGOTTEN_S / 2
    leases.hold_device("pod-b/cuda:0", "alive", "p", {})
    leases.expire()
    assert {each["worker"] for each in leases.known_workers()} == {"killed", "alive"}
    now[0] += FORGOTTEN_S / 2 + leases.lease_s + 1
    leases.expire()
    assert [each["worker"] for each in leases.known_workers()] == ["alive"]
    with database.read() as connection:
        assert [row.device for row in connection.execute(select(devices))] == ["pod-b/cuda:0"]
    assert leases.hold_device("pod-a/cuda:0", "killed", "p", {})  # it only slept


def test_whom_to_forget_is_told_by_the_clock_of_the_database(shared, monkeypatch):
    leases = LeaseStore(shared)
    leases.hold_device("host/x", "here", "p", {})
    here = time.time()
    monkeypatch.setattr("time.time", lambda: here + 3 * FORGOTTEN_S)
    leases.expire()
    assert [each["worker"] for each in leases.known_workers()] == ["here"]


def test_an_event_that_is_committed_late_is_read(shared):
    """In both orders of beginning: what a reader has passed, nobody writes any more."""
    store = JobStore(shared)
    job = store.submit(_new())[0]
    seen = [event.id for event in store.events(None)]
    with shared.engine.connect() as late:
        begun = late.begin()
        _change(late, "late")
        late.execute(insert(events).values(job_id=job.id, at=0.0, kind="state", data={"n": 1}))
        with shared.write() as early:
            early.execute(insert(events).values(job_id="x", at=0.0, kind="state", data={"n": 2}))
        assert [event.id for event in store.events(None)] == seen
        assert store.last_event() == seen[-1]
        begun.commit()
    assert [event.data["n"] for event in store.events(None, seen[-1])] == [1, 2]


def test_a_transaction_that_began_later_and_has_the_lower_number_is_waited_for(shared):
    store = JobStore(shared)
    with shared.engine.connect() as first, shared.engine.connect() as second:
        one, two = first.begin(), second.begin()
        _change(first, "one")
        _change(second, "two")
        second.execute(insert(events).values(job_id="b", at=0.0, kind="state", data={}))
        first.execute(insert(events).values(job_id="a", at=0.0, kind="state", data={}))
        one.commit()
        assert store.events(None) == []
        two.commit()
    assert [event.job_id for event in store.events(None)] == ["b", "a"]


def test_a_number_that_was_rolled_back_holds_nobody_up(shared):
    store = JobStore(shared)
    with shared.engine.connect() as gone:
        begun = gone.begin()
        gone.execute(insert(events).values(job_id="x", at=0.0, kind="state", data={}))
        begun.rollback()
    job = store.submit(_new())[0]
    assert [event.job_id for event in store.events(None)] == [job.id]


def _change(connection, name):
    """As every change of a job does before its event: the transaction has a number then."""
    connection.execute(insert(facts).values(name=name, value="1"))
    connection.execute(update(facts).where(facts.c.name == name).values(value="2"))


def test_readers_beside_writers_see_each_event_once_in_order(database):
    store, seen, over = JobStore(database), [], threading.Event()

    def read():
        while not over.is_set() or store.events(None, seen[-1] if seen else 0):
            new = store.events(None, seen[-1] if seen else 0)
            seen.extend(event.id for event in new)

    def write():
        for _ in range(25):
            store.submit(_new())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    over.set()
    reader.join()
    assert len(seen) == 100
    assert seen == sorted(set(seen))


def _figures(metrics):
    lines = metrics.text().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")


def test_two_replicas_count_a_hundred_jobs_once(database):
    replicas = [
        ServiceMetrics(JobStore(database), LeaseStore(database), MemoryStore()) for _ in range(2)
    ]
    store, leases = JobStore(database), LeaseStore(database)
    leases.hold_device("host/x", "w", "p", {})
    for number in range(100):
        store.submit(_new())
        job = leases.claim("w", "host/x")
        if number % 10:
            leases.complete(job, f"{number}.mp4", {"seconds": {"denoise": 3.0}, "frames": 6})
        else:
            leases.fail(job, {"type": "BadInputError", "detail": "no", "status": 422})
        if number == 50:
            store.retry(job.id)
            leases.complete(leases.claim("w", "host/x"), "again.mp4", {})
    threads = [threading.Thread(target=metrics.text) for metrics in replicas * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for metrics in replicas:
        found = _figures(metrics)
        assert found['newsreel_jobs_submitted_total{kind="generate"}'] == "100.0"
        ended = 'newsreel_jobs_finished_total{kind="generate",state='
        assert found[f'{ended}"COMPLETED"}}'] == "91.0"
        assert found[f'{ended}"FAILED"}}'] == "10.0"
        assert found['newsreel_job_failures_total{error="BadInputError"}'] == "10.0"
        assert found['newsreel_job_seconds_count{kind="generate"}'] == "91.0"
        assert found['newsreel_stage_seconds_bucket{le="5.0",stage="denoise"}'] == "90.0"
        assert found['newsreel_stage_seconds_sum{stage="denoise"}'] == "270.0"
        assert found['newsreel_frames_per_second{kind="generate"}'] == "2.0"


def test_what_was_there_before_anybody_counted_is_not_counted(database):
    store = JobStore(database)
    store.submit(_new())
    metrics = ServiceMetrics(store, LeaseStore(database), MemoryStore())
    store.submit(_new())
    found = _figures(metrics)
    assert found['newsreel_jobs_submitted_total{kind="generate"}'] == "1.0"


def test_claims_are_of_the_kinds_that_are_asked_for(database):
    store, leases = JobStore(database), LeaseStore(database)
    leases.hold_device("host/x", "w", "p", {})
    clip = store.submit(_new(priority=2, group="g"))[0]
    larger = store.submit(_new("upscale", group="g"))[0]
    assert leases.claim("w", "host/x", "g", ("upscale",)).id == larger.id
    assert leases.claim("w", "host/x", "g", ("upscale",)) is None
    assert store.waiting_by_kind() == {"generate": 1}
    assert leases.claim("w", "host/x").id == clip.id
    with pytest.raises(BadInputError, match="kinds of jobs are: generate, upscale"):
        kinds_among("generate,paint")


def test_connections_notice_a_server_that_is_cut_off():
    from sqlalchemy.engine import make_url

    plain = within_limits(make_url("postgresql+psycopg://u@host/name"))
    assert dict(plain.query) == TCP_LIMITS
    own = within_limits(make_url("postgresql+psycopg://u@host/name?connect_timeout=60"))
    assert dict(own.query) == TCP_LIMITS | {"connect_timeout": "60"}
    assert not within_limits(make_url("sqlite:////srv/x.db")).query


def test_a_worker_has_few_connections(shared):
    few = Database(shared.url, (2, 2))
    connections = [few.engine.connect() for _ in range(4)]
    assert few.engine.pool.overflow() == 2
    for connection in connections:
        connection.close()
    few.engine.dispose()


def test_a_start_without_a_database_waits_so_long_and_says_so(tmp_path):
    pulse = Pulse()
    away = Database(f"postgresql+psycopg://newsreel@/postgres?host={tmp_path}")
    begin = time.monotonic()
    with pytest.raises(OutputError, match="cannot be opened"):
        wait_for(away, 1.0, pulse)
    assert time.monotonic() - begin > 1.0
    with pytest.raises(OutputError, match="cannot be opened"):
        wait_for(Database(f"sqlite:///{tmp_path}"), 3600.0, Pulse())
