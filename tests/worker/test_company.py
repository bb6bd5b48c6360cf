"""Jobs that share their forwards: who comes along, and what becomes of each."""

import threading

import pytest

from src.artifacts.registry import open_store
from src.core.errors import BadInputError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.waiting import wait_until


class Counting(FakeRunner):
    """Notes which jobs shared a forward, and which clips cost time of their own."""

    def __init__(self, seconds=0.0):
        super().__init__(seconds)
        self.shared, self.alone = [], []

    def share(self, jobs, listener, cancel):
        self.shared.append([job.id for job in jobs])
        super().share(jobs, listener, cancel)

    def make(self, job, path, watch):
        if job.id not in self._shared:
            self.alone.append(job.id)
        return super().make(job, path, watch)


@pytest.fixture
def store(database):
    return JobStore(database)


def _worker(database, runner, most=4, **values):
    values = {"once": True, "device": "host/fake", "prompts_per_forward": most} | values
    return Worker(LeaseStore(database), runner, open_store(), **values)


def _submit(store, owner="a", priority=0, **request):
    asked = {"prompt": "Pan left!", "input_image": "sha256:a.png", "model": "nano"} | request
    return store.submit(NewJob("generate", owner, asked, "nano", priority))[0].id


def _states(store, ids):
    return [store.get(job).state for job in ids]


def test_jobs_that_differ_in_prompt_photograph_and_seed_share_their_forwards(database, store):
    ids = [_submit(store, prompt=f"p{n}", seed=n, input_image=f"sha256:{n}.png") for n in range(5)]
    runner = Counting()
    _worker(database, runner).run()
    assert runner.shared == [ids[:4]]
    assert runner.alone == ids[4:]
    assert _states(store, ids) == [State.COMPLETED] * 5
    assert [store.get(job).attempts for job in ids] == [1] * 5
    assert len({store.get(job).artifact for job in ids}) == 5


def test_a_worker_that_was_not_asked_takes_them_one_by_one(database, store):
    ids = [_submit(store) for _ in range(3)]
    runner = Counting()
    _worker(database, runner, most=1).run()
    assert (runner.shared, runner.alone) == ([], ids)


def test_other_sizes_and_jobs_that_failed_a_worker_stay_out(database, store):
    first = _submit(store)
    other = _submit(store, width=96)
    failed = _submit(store)
    LeaseStore(database).hold_device("host/x", "w", "p", {})
    leases = LeaseStore(database)
    claimed = [leases.claim("w", "host/x") for _ in range(3)]
    for job in claimed[:2]:
        leases.give_back(job)
    leases.worker_gone("w")
    runner = Counting()
    _worker(database, runner).run()
    assert runner.shared == []
    assert sorted(runner.alone) == sorted([first, other, failed])


def test_an_idle_worker_keeps_a_job_for_itself(database, store):
    ids = [_submit(store) for _ in range(3)]
    LeaseStore(database).hold_device("other/fake", "idle", "p", {})
    runner = Counting()
    worker = _worker(database, runner)
    worker.work(worker.claim() if worker.is_able() else None)
    assert runner.shared == [ids[:2]]
    assert _states(store, ids) == [State.COMPLETED, State.COMPLETED, State.PENDING]


def test_a_worker_whose_lease_has_ended_keeps_nothing(database, store):
    ids = [_submit(store) for _ in range(3)]
    LeaseStore(database, lease_s=-1.0).hold_device("other/fake", "gone", "p", {})
    runner = Counting()
    worker = _worker(database, runner)
    worker.work(worker.claim() if worker.is_able() else None)
    assert runner.shared == [ids]


def test_nobody_overtakes_a_line_whose_turn_is_minutes_before(database, store):
    ids = [_submit(store) for _ in range(3)]
    other = _submit(store, owner="b")
    worker = _worker(database, Counting())
    assert worker.is_able()
    first = worker.claim()
    assert [job.id for job in worker.leases.waiting_company(first, 3)] == [*ids[1:], other]
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET rank = rank - 130 WHERE id = '{other}'")
    assert [job.id for job in worker.leases.waiting_company(first, 3)] == [other]


def test_one_that_is_cancelled_ends_at_once_and_the_others_go_on(database, store):
    ids = [_submit(store, fake_seconds=1.5, fake_steps=30) for _ in range(3)]
    runner = Counting()
    worker = _worker(database, runner)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: store.get(ids[1]).stage == "denoise")
    store.cancel(ids[1])
    wait_until(lambda: store.get(ids[1]).state is State.CANCELLED)
    assert store.get(ids[0]).state is State.PROCESSING
    thread.join()
    assert _states(store, ids) == [State.COMPLETED, State.CANCELLED, State.COMPLETED]
    assert runner.alone == []


def test_a_worker_that_stops_gives_all_of_them_back_uncounted(database, store):
    ids = [_submit(store, fake_seconds=30.0, fake_steps=300) for _ in range(2)]
    worker = _worker(database, Counting())
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: store.get(ids[1]).stage == "denoise")
    worker.stopping.set()
    worker.giving_back.set()
    thread.join()
    assert _states(store, ids) == [State.PENDING] * 2
    assert [store.get(job).attempts for job in ids] == [0, 0]


def test_where_sharing_fails_each_is_made_by_itself(database, store):
    class Short(Counting):
        def share(self, jobs, listener, cancel):
            raise MemoryError("out of memory")

    ids = [_submit(store) for _ in range(2)]
    runner = Short()
    _worker(database, runner).run()
    assert runner.alone == ids
    assert _states(store, ids) == [State.COMPLETED] * 2


def test_a_lease_that_went_elsewhere_meanwhile_publishes_nothing(database, store):
    class Robbed(Counting):
        def share(self, jobs, listener, cancel):
            super().share(jobs, listener, cancel)
            with database.write() as connection:
                connection.exec_driver_sql(f"UPDATE jobs SET token = 9 WHERE id = '{jobs[1].id}'")

    ids = [_submit(store) for _ in range(2)]
    _worker(database, Robbed()).run()
    assert _states(store, ids) == [State.COMPLETED, State.PENDING]
    assert store.get(ids[1]).artifact is None


def test_what_the_flag_may_say(monkeypatch):
    from src.worker.command import _prompts_per_forward

    monkeypatch.setenv("NEWSREEL_PROMPTS_PER_FORWARD", "4")
    assert _prompts_per_forward({"prompts_per_forward": None}) == 4
    assert _prompts_per_forward({"prompts_per_forward": 2}) == 2
    with pytest.raises(BadInputError, match="--prompts-per-forward is 0"):
        _prompts_per_forward({"prompts_per_forward": 0})
    monkeypatch.setenv("NEWSREEL_PROMPTS_PER_FORWARD", "many")
    with pytest.raises(BadInputError, match="NEWSREEL_PROMPTS_PER_FORWARD is 'many'"):
        _prompts_per_forward({"prompts_per_forward": None})
