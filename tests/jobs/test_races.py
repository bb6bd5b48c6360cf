"""Two who change one job at one time, on PostgreSQL, where each statement sees what was committed
by then: what was looked at holds until it is changed.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from src.jobs import holding, leases, outcomes, store
from src.jobs.errors import LostLeaseError, WrongStateError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.contracts.job_store.conftest import Time
from tests.database.race_kit import meanwhile, slow_rows


@pytest.fixture
def house(postgres_database):
    """A database, its stores and their clock."""

    class House:
        database, clock = postgres_database, Time()
        store = JobStore(database, clock)
        leases = LeaseStore(database, clock, lease_s=60)

        @classmethod
        def running(cls):
            """A job that a worker makes."""
            job, _ = cls.store.submit(NewJob("generate", "a", {"prompt": "p"}))
            assert cls.leases.hold_device("d", "w", "p", {})
            claimed = cls.leases.claim("w", "d")
            assert claimed.id == job.id
            return claimed

    return House


def test_a_lease_is_renewed_or_runs_out_and_not_both(house):
    job = house.running()
    house.clock.now += 61
    with (
        pytest.raises(LostLeaseError),
        meanwhile(house.database, outcomes, "put_back", lambda: house.leases.heartbeat(job)),
    ):
        assert house.leases.expire() == [job.id]
    assert house.store.get(job.id).state is State.PENDING


def test_a_job_whose_worker_dies_while_it_is_cancelled_is_cancelled(house):
    job = house.running()
    with meanwhile(house.database, outcomes, "put_back", lambda: house.store.cancel(job.id)):
        house.leases.worker_gone("w")
    assert house.store.get(job.id).state is State.CANCELLED


def test_a_job_that_failed_for_good_before_it_was_cancelled_is_not_cancelled(house):
    job = house.running()
    for _ in range(job.max_attempts - 1):
        house.leases.worker_gone("w")
        house.leases.hold_device("d", "w", "p", {})
        house.leases.claim("w", "d")
    with (
        pytest.raises(WrongStateError, match="is FAILED already"),
        meanwhile(house.database, outcomes, "put_back", lambda: house.store.cancel(job.id)),
    ):
        house.leases.worker_gone("w")
    assert not house.store.get(job.id).cancel_requested


def test_a_job_that_is_given_back_while_it_is_cancelled_is_cancelled(house):
    job = house.running()
    with meanwhile(house.database, leases, "record", lambda: house.store.cancel(job.id)):
        house.leases.give_back(job)
    assert house.store.get(job.id).state is State.CANCELLED


def larger(clip):
    return NewJob("upscale", "a", {"input": "artifact:x.mp4", "of": clip.id})


def finished(house):
    job = house.running()
    house.leases.complete(job, "x.mp4", {})
    return job


def test_a_clip_that_somebody_enlarges_is_not_deleted(house):
    clip = finished(house)
    with (
        pytest.raises(WrongStateError, match="being enlarged by"),
        meanwhile(house.database, store, "append", lambda: house.store.delete(clip.id)),
    ):
        house.store.submit(larger(clip))
    assert len(house.store.page()) == 2


def test_a_clip_that_somebody_deletes_is_not_enlarged(house):
    clip = finished(house)
    with (
        pytest.raises(WrongStateError, match="there is nothing left of its clip"),
        meanwhile(house.database, store, "append", lambda: house.store.submit(larger(clip))),
    ):
        house.store.delete(clip.id)
    assert house.store.page() == []


def test_a_clip_whose_enlargement_is_retried_is_not_deleted(house):
    clip = finished(house)
    ended = house.store.cancel(house.store.submit(larger(clip))[0].id)
    with (
        pytest.raises(WrongStateError, match="being enlarged by"),
        meanwhile(house.database, store, "record", lambda: house.store.delete(clip.id)),
    ):
        house.store.retry(ended.id)
    house.store.cancel(ended.id)
    house.store.delete(clip.id)
    with pytest.raises(WrongStateError, match="there is nothing left of its clip"):
        house.store.retry(ended.id)


def test_two_workers_who_take_jobs_of_one_line_do_not_wait_in_a_ring(house):
    house.running()
    assert house.leases.hold_device("other", "w2", "p", {})
    chosen = [house.store.submit(NewJob("generate", "a", {"prompt": "p"}))[0] for _ in range(2)]
    with meanwhile(house.database, LeaseStore, "_take",
                   lambda: house.leases.claim("w2", "other"), call=2) as others:  # fmt: skip
        taken = house.leases.claim_also("w", "d", chosen)
    assert [job.id for job in taken] == [job.id for job in chosen]
    assert others[0].result() is None


def test_a_worker_that_comes_back_while_it_is_forgotten_does_not_wait_in_a_ring(house):
    assert house.leases.hold_device("d", "w", "p", {})
    house.clock.now += holding.FORGOTTEN_S + 61
    with meanwhile(house.database, holding, "write_worker", house.leases.expire):
        assert house.leases.hold_device("d", "w", "p", {})
    assert [row["worker"] for row in house.leases.known_workers()] == ["w"]
    assert house.leases.claim("w", "d") is None


def test_two_replicas_that_store_the_same_jobs_do_not_wait_in_a_ring(house, monkeypatch):
    """Two requests, and both once more at another replica, where they come the other way round."""

    def lot(keys):
        held = []
        with monkeypatch.context() as patch:
            patch.setattr(house.store, "_store", held.append)
            for key in keys:
                house.store.submit(NewJob("generate", "a", {}, idempotency_key=key))
        return lambda: house.store._insert(lambda: held)

    lots = lot("ab"), lot("ba")
    slow_rows(house.database, "INSERT", "jobs")
    with ThreadPoolExecutor(2) as pool:
        begun = [pool.submit(each) for each in lots]
    ends = [each.exception() for each in begun]
    assert sorted(type(end).__name__ for end in ends) == ["IntegrityError", "NoneType"]
