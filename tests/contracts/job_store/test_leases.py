"""The workers' side of the store: turns, leases, outcomes."""

import threading

import pytest

from src.jobs.errors import LostLeaseError
from src.jobs.leases import LeaseStore
from src.jobs.model import State
from tests.contracts.job_store.kit import new_job, row_at


def test_breaking_news_first_but_nothing_starves(store, leases, time):
    old, _ = store.submit(new_job())
    time.now += 10
    breaking, _ = store.submit(new_job(priority=2))
    assert leases.claim("w1", "host/cpu").id == breaking.id
    time.now += 3000
    leases.hold_device("host/cpu", "w1", "p", {})
    store.submit(new_job(priority=2))
    assert leases.claim("w1", "host/cpu").id == old.id


def test_owners_take_turns_whoever_floods(store, leases, time):
    flood = [store.submit(new_job(owner="a"))[0].id for _ in range(6)]
    time.now += 1
    few = [store.submit(new_job(owner="b"))[0].id for _ in range(2)]
    served = []
    for _ in range(5):
        time.now += 10
        leases.hold_device("host/cpu", "w1", "p", {})
        served.append(leases.claim("w1", "host/cpu").id)
    assert [job in few for job in served] == [False, True, False, True, False]
    assert set(served) <= {*flood, *few}
    late = store.submit(new_job(owner="c"))[0].id
    time.now += 1
    store.submit(new_job(owner="b"))
    nxt = [leases.claim("w1", "host/cpu").id for _ in range(3)]
    assert late in nxt


def test_breaking_news_of_another_key_is_next_however_long_a_flood_has_waited(store, leases, time):
    for _ in range(5):
        store.submit(new_job(owner="a", group="g"))
    time.now += 5000
    leases.hold_device("host/cpu", "w1", "p", {})
    running = leases.claim("w1", "host/cpu", warm="g")
    breaking, _ = store.submit(new_job(owner="b", priority=2))
    leases.complete(running, "x.mp4", {})
    assert leases.claim("w1", "host/cpu", warm="g").id == breaking.id


def test_a_flood_of_breaking_news_starves_nobody(store, leases, time):
    normal, _ = store.submit(new_job(owner="b"))
    for _ in range(60):
        store.submit(new_job(owner="a", priority=2))
        store.submit(new_job(owner="a", priority=2))
        time.now += 60
        leases.hold_device("host/cpu", "w1", "p", {})
        if leases.claim("w1", "host/cpu").id == normal.id:
            return
    raise AssertionError("an hour of breaking news, and the other desk's job still waits")


def test_jobs_of_the_warm_group_go_together_unless_others_wait_long(store, leases, time):
    first, _ = store.submit(new_job(group="a"))
    time.now += 30
    alike, _ = store.submit(new_job(group="b"))
    assert leases.claim("w1", "host/cpu", warm="b").id == alike.id
    time.now += 200
    leases.hold_device("host/cpu", "w1", "p", {})
    store.submit(new_job(group="b"))
    assert leases.claim("w1", "host/cpu", warm="b").id == first.id
    assert leases.claim("w1", "host/cpu", warm="c") is not None
    assert leases.claim("w1", "host/cpu", warm="c") is None


def test_only_the_last_lease_may_report(store, leases, time):
    store.submit(new_job())
    stale = leases.claim("w1", "host/cpu")
    time.now += 61
    assert leases.expire() == [stale.id]
    assert leases.hold_device("host/cpu", "w2", "p", {})
    fresh = leases.claim("w2", "host/cpu")
    assert fresh.token == stale.token + 1
    for report in (leases.heartbeat, leases.is_cancelled, leases.cancelled, leases.give_back):
        with pytest.raises(LostLeaseError):
            report(stale)
    with pytest.raises(LostLeaseError):
        leases.complete(stale, "stale.mp4", {})
    leases.complete(fresh, "fresh.mp4", {"seed": 1})
    done = store.get(fresh.id)
    assert (done.state, done.artifact) == (State.COMPLETED, "fresh.mp4")
    assert row_at(store, "examples/fresh.mp4").job == fresh.id
    assert row_at(store, "examples/stale.mp4") is None
    with pytest.raises(LostLeaseError):
        leases.complete(fresh, "twice.mp4", {})


def test_heartbeats_keep_the_lease_and_hear_of_cancellation(store, leases, time):
    store.submit(new_job())
    job = leases.claim("w1", "host/cpu")
    for _ in range(5):
        time.now += 40
        assert leases.heartbeat(job) is False
        assert leases.expire() == []
    store.cancel(job.id)
    assert leases.heartbeat(job) is True
    leases.cancelled(job)
    assert store.get(job.id).state is State.CANCELLED


def test_a_job_that_kills_its_workers_fails_with_a_reason(store, leases, time):
    store.submit(new_job(max_attempts=2))
    for _ in range(2):
        leases.hold_device("host/cpu", "w1", "p", {})
        job = leases.claim("w1", "host/cpu")
        leases.worker_gone("w1")
    assert store.get(job.id).state is State.FAILED
    assert "worker died" in store.get(job.id).error["detail"]
    again = store.retry(job.id)
    assert (again.state, again.attempts, again.error) == (State.PENDING, 0, None)


def test_a_job_that_is_given_back_loses_no_attempt(store, leases):
    store.submit(new_job())
    job = leases.claim("w1", "host/cpu")
    leases.give_back(job)
    assert (store.get(job.id).state, store.get(job.id).attempts) == (State.PENDING, 0)
    assert leases.claim("w1", "host/cpu").token == job.token + 1


def test_one_worker_a_device(leases, time):
    assert not leases.hold_device("host/cpu", "w2", "p", {})
    with pytest.raises(LostLeaseError):
        leases.claim("w2", "host/cpu")
    time.now += 61
    assert leases.hold_device("host/cpu", "w2", "p", {})
    assert not leases.hold_device("host/cpu", "w1", "p", {})
    leases.worker_gone("w2")
    assert leases.hold_device("host/cpu", "w1", "p", {})


def test_cancelling_a_job_whose_worker_dies_ends_it(store, leases):
    job, _ = store.submit(new_job())
    leases.claim("w1", "host/cpu")
    store.cancel(job.id)
    leases.worker_gone("w1")
    assert store.get(job.id).state is State.CANCELLED


def test_many_workers_take_each_job_once(store, database):
    for _ in range(40):
        store.submit(new_job())
    taken, lock = [], threading.Lock()

    def work(name):
        leases = LeaseStore(database, lease_s=60)
        assert leases.hold_device(f"host/{name}", name, "p", {})
        while job := leases.claim(name, f"host/{name}"):
            leases.complete(job, f"{job.id}.mp4", {})
            with lock:
                taken.append(job.id)

    threads = [threading.Thread(target=work, args=(f"w{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40
