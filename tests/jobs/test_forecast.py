"""Places and times ahead agree with how workers then really take the jobs."""

import pytest

from src.jobs.forecast import forecasts
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore


class Clock:
    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stores(database, clock):
    store, leases = JobStore(database, clock), LeaseStore(database, clock, lease_s=1e6)
    leases.hold_device("d", "w", "p", {})
    return store, leases


def _submit(store, clock, owner, priority=0, cost=0.0, group=""):
    clock.now += 0.01
    new = NewJob("generate", owner, {"prompt": "p"}, group, priority=priority, cost=cost)
    return store.submit(new)[0]


def _finish(stores, clock, seconds, cost=0.0, group=""):
    store, leases = stores
    job = _submit(store, clock, "earlier", cost=cost, group=group)
    taken = leases.claim("w", "d")
    assert taken.id == job.id
    clock.now += seconds
    leases.complete(taken, "x.mp4", {})


def _ahead(database, clock, workers=1):
    with database.read() as connection:
        return forecasts(connection, clock.now, workers)


def test_places_are_the_order_in_which_jobs_are_taken(database, stores, clock):
    store, leases = stores
    for owner, priority in [("a", 0), ("a", 0), ("a", 0), ("b", 0), ("b", 1), ("c", -1), ("a", 2)]:
        _submit(store, clock, owner, priority)
    found = _ahead(database, clock)
    told = sorted(found, key=lambda job: found[job].place)
    taken = []
    while (job := leases.claim("w", "d")) is not None:
        taken.append(job.id)
        clock.now += 1.0
        leases.complete(job, "x.mp4", {})
    assert told == taken
    assert [found[job].place for job in told] == [1, 2, 3, 4, 5, 6, 7]


def test_times_come_from_what_jobs_took_lately(database, stores, clock):
    store, leases = stores
    assert _ahead(database, clock) == {}
    first = _submit(store, clock, "a")
    assert _ahead(database, clock)[first.id].seconds is None
    store.cancel(first.id)
    for seconds in (10.0, 12.0, 50.0):
        _finish(stores, clock, seconds)
    jobs = [_submit(store, clock, "a") for _ in range(3)]
    running = leases.claim("w", "d")
    clock.now += 4.0
    found = _ahead(database, clock)
    assert (found[running.id].place, found[running.id].seconds) == (0, pytest.approx(8.0))
    assert [found[job.id].seconds for job in jobs[1:]] == [pytest.approx(20.0), pytest.approx(32.0)]
    assert _ahead(database, clock, workers=2)[jobs[1].id].seconds == pytest.approx(12.0)
    assert _ahead(database, clock, workers=0)[jobs[1].id].seconds is None


def test_a_dearer_job_takes_longer(database, stores, clock):
    store, _ = stores
    _finish(stores, clock, 10.0, cost=49.0)
    job = _submit(store, clock, "a", cost=98.0)
    assert _ahead(database, clock)[job.id].seconds == pytest.approx(20.0)


def test_an_upscaler_that_is_slow_is_known_by_its_group(database, stores, clock):
    store, _ = stores
    _finish(stores, clock, 10.0, cost=50.0, group="upscale fast")
    _finish(stores, clock, 900.0, cost=50.0, group="upscale star/quality")
    asked = {
        name: _submit(store, clock, "a", cost=50.0, group=name)
        for name in ("upscale fast", "upscale star/quality", "upscale dove/one-step")
    }
    found, before, seconds = _ahead(database, clock), 0.0, []
    for name in asked:
        seconds.append(found[asked[name].id].seconds - before)
        before = found[asked[name].id].seconds
    assert seconds == [pytest.approx(10.0), pytest.approx(900.0), pytest.approx(455.0)]
