"""One suite for the durable store on SQLite, and on a PostgreSQL that the test starts where it is
installed.
"""

import shutil
import threading

import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.artifacts.index import ArtifactIndex
from src.database.database import Database
from src.jobs import references
from src.jobs.errors import LostLeaseError, UnknownJobError, WrongStateError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.search import JobFilter
from src.jobs.store import JobStore
from tests.database.postgres_kit import any_database, empty_database, postgres  # noqa: F401


class Time:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def database(any_database):  # noqa: F811
    return any_database


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def store(database, time):
    return JobStore(database, time)


@pytest.fixture
def leases(database, time):
    made = LeaseStore(database, time, lease_s=60)
    assert made.hold_device("host/cpu", "w1", "p", {})
    return made


def _new(owner="a", **values):
    return NewJob("generate", owner, {"prompt": "pan left"}, **values)


def _row(store, key):
    found = ArtifactIndex(store.database).find(key)
    return found[0] if found else None


def test_the_tables_are_those_of_the_migrations(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from src.database.tables import metadata

    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.migrate()


def test_submit_get_and_the_first_event(store):
    job, fresh = store.submit(_new(priority=1))
    assert fresh
    assert job.state is State.PENDING
    assert store.get(job.id) == job
    assert [event.data["state"] for event in store.events(job.id)] == ["PENDING"]
    with pytest.raises(UnknownJobError):
        store.get(job.id, owner="b")


def test_an_idempotency_key_makes_one_job(store):
    first, _ = store.submit(_new(idempotency_key="k"))
    again, fresh = store.submit(_new(idempotency_key="k"))
    assert (again.id, fresh) == (first.id, False)
    assert store.submit(_new(owner="b", idempotency_key="k"))[1]
    with pytest.raises(WrongStateError, match="another request"):
        store.submit(NewJob("generate", "a", {"prompt": "other"}, idempotency_key="k"))


def test_submissions_of_many_threads_with_one_key_among_them_make_each_job_once(store):
    made, threads = [], []
    for number in range(40):
        new = _new(idempotency_key="same" if number % 4 == 0 else f"own {number}")
        threads.append(threading.Thread(target=lambda new=new: made.append(store.submit(new))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 40
    assert sum(fresh for _, fresh in made) == 31
    ids = {job.id for job, _ in made}
    assert len(ids) == 31
    assert {job.id for job in store.page(limit=100)} == ids
    assert len(store.events(None)) == 31


def test_breaking_news_first_but_nothing_starves(store, leases, time):
    old, _ = store.submit(_new())
    time.now += 10
    breaking, _ = store.submit(_new(priority=2))
    assert leases.claim("w1", "host/cpu").id == breaking.id
    time.now += 3000
    leases.hold_device("host/cpu", "w1", "p", {})
    store.submit(_new(priority=2))
    assert leases.claim("w1", "host/cpu").id == old.id


def test_owners_take_turns_whoever_floods(store, leases, time):
    flood = [store.submit(_new(owner="a"))[0].id for _ in range(6)]
    time.now += 1
    few = [store.submit(_new(owner="b"))[0].id for _ in range(2)]
    served = []
    for _ in range(5):
        time.now += 10
        leases.hold_device("host/cpu", "w1", "p", {})
        served.append(leases.claim("w1", "host/cpu").id)
    assert [job in few for job in served] == [False, True, False, True, False]
    assert set(served) <= {*flood, *few}
    late = store.submit(_new(owner="c"))[0].id
    time.now += 1
    store.submit(_new(owner="b"))
    nxt = [leases.claim("w1", "host/cpu").id for _ in range(3)]
    assert late in nxt


def test_breaking_news_of_another_key_is_next_however_long_a_flood_has_waited(store, leases, time):
    for _ in range(5):
        store.submit(_new(owner="a", group="g"))
    time.now += 5000
    leases.hold_device("host/cpu", "w1", "p", {})
    running = leases.claim("w1", "host/cpu", warm="g")
    breaking, _ = store.submit(_new(owner="b", priority=2))
    leases.complete(running, "x.mp4", {})
    assert leases.claim("w1", "host/cpu", warm="g").id == breaking.id


def test_a_flood_of_breaking_news_starves_nobody(store, leases, time):
    normal, _ = store.submit(_new(owner="b"))
    for _ in range(60):
        store.submit(_new(owner="a", priority=2))
        store.submit(_new(owner="a", priority=2))
        time.now += 60
        leases.hold_device("host/cpu", "w1", "p", {})
        if leases.claim("w1", "host/cpu").id == normal.id:
            return
    raise AssertionError("an hour of breaking news, and the other desk's job still waits")


def test_jobs_of_the_warm_group_go_together_unless_others_wait_long(store, leases, time):
    first, _ = store.submit(_new(group="a"))
    time.now += 30
    alike, _ = store.submit(_new(group="b"))
    assert leases.claim("w1", "host/cpu", warm="b").id == alike.id
    time.now += 200
    leases.hold_device("host/cpu", "w1", "p", {})
    store.submit(_new(group="b"))
    assert leases.claim("w1", "host/cpu", warm="b").id == first.id
    assert leases.claim("w1", "host/cpu", warm="c") is not None
    assert leases.claim("w1", "host/cpu", warm="c") is None


def test_only_the_last_lease_may_report(store, leases, time):
    store.submit(_new())
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
    assert _row(store, "examples/fresh.mp4").job == fresh.id
    assert _row(store, "examples/stale.mp4") is None
    with pytest.raises(LostLeaseError):
        leases.complete(fresh, "twice.mp4", {})


def test_heartbeats_keep_the_lease_and_hear_of_cancellation(store, leases, time):
    store.submit(_new())
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
    store.submit(_new(max_attempts=2))
    for _ in range(2):
        leases.hold_device("host/cpu", "w1", "p", {})
        job = leases.claim("w1", "host/cpu")
        leases.worker_gone("w1")
    assert store.get(job.id).state is State.FAILED
    assert "worker died" in store.get(job.id).error["detail"]
    again = store.retry(job.id)
    assert (again.state, again.attempts, again.error) == (State.PENDING, 0, None)


def test_a_job_that_is_given_back_loses_no_attempt(store, leases):
    store.submit(_new())
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


def test_cancel_retry_and_delete_know_the_states(store, leases):
    waiting, _ = store.submit(_new())
    assert store.cancel(waiting.id).state is State.CANCELLED
    with pytest.raises(WrongStateError, match="CANCELLED already"):
        store.cancel(waiting.id)
    store.retry(waiting.id)
    with pytest.raises(WrongStateError, match="only FAILED"):
        store.retry(waiting.id)
    with pytest.raises(WrongStateError, match="cancel it first"):
        store.delete(waiting.id)
    leases.fail(
        leases.claim("w1", "host/cpu"), {"type": "BadInputError", "detail": "no", "status": 422}
    )
    store.delete(waiting.id)
    with pytest.raises(UnknownJobError):
        store.get(waiting.id)
    assert store.events(waiting.id) == []


def test_cancelling_a_job_whose_worker_dies_ends_it(store, leases):
    job, _ = store.submit(_new())
    leases.claim("w1", "host/cpu")
    store.cancel(job.id)
    leases.worker_gone("w1")
    assert store.get(job.id).state is State.CANCELLED


def test_a_clip_that_is_to_be_enlarged_is_held_and_found(store, leases):
    clip, _ = store.submit(_new())
    leases.complete(leases.claim("w1", "host/cpu"), "x.mp4", {})
    larger, _ = store.submit(NewJob("upscale", "a", {"input": "artifact:x.mp4", "of": clip.id}))
    for _ in range(3):
        store.submit(NewJob("upscale", "a", {"input": "artifact:y.mp4"}))
    assert references.enlargement(store.database, clip.id) == larger.id
    with pytest.raises(WrongStateError, match=f"being enlarged by job {larger.id}"):
        store.delete(clip.id)
    store.cancel(larger.id)
    store.delete(clip.id)
    assert references.enlargement(store.database, "0" * 21) is None


def test_search_by_words_and_times(store, time):
    ids = {}
    asked = {"old": {"prompt": "Press Briefing at ÉLYSÉE, 100% calm"},
             "other": {"prompt": "100 per cent calm"},
             "new": {"template": "archive", "set": {"year": "1969",
                                                    "subject": "the harbour"}}}  # fmt: skip
    for name, request in asked.items():
        time.now += 100
        ids[store.submit(NewJob("generate", "a", request))[0].id] = name

    def found(**wanted):
        return [ids[job.id] for job in store.find(JobFilter(**wanted))]

    assert found(words="briefing élysée") == ["old"]
    assert found(words="ARCHIVE harbour 1969") == ["new"]
    assert found(words="100%") == ["old"]
    assert found(words="100 calm") == ["other", "old"]
    assert found(words="nothing") == []
    assert found(since=time.now - 150) == ["new", "other"]
    assert found(until=time.now - 100) == ["old"]
    assert found(owner=frozenset({"a", "z"}), words="calm") == ["other", "old"]
    assert found(owner=frozenset({"z"})) == []


def test_pages_filters_and_counts(store, leases, time):
    ids = []
    for index in range(5):
        time.now += 1
        ids.append(store.submit(_new(owner="ab"[index % 2]))[0].id)
    assert [job.id for job in store.page(limit=3)] == ids[:1:-1]
    assert [job.id for job in store.page(before=ids[2])] == ids[1::-1]
    assert [job.id for job in store.page(owner="b")] == [ids[3], ids[1]]
    leases.claim("w1", "host/cpu")
    assert [job.id for job in store.page(state=State.PROCESSING)] == [ids[0]]
    assert store.counts() == {"PENDING": 4, "PROCESSING": 1}
    assert store.oldest_waiting() == {0: pytest.approx(3)}
    assert store.submitted_since("a", time.now - 2.5) == 2


def test_what_housekeeping_asks(store, leases, time):
    ids = [
        store.submit(NewJob("upscale", "a", {"input": f"sha256:{name}"}))[0].id for name in "abb"
    ]
    waiting = store.submit(_new())[0].id
    for _ in ids:
        leases.hold_device("host/cpu", "w1", "p", {})
        leases.complete(leases.claim("w1", "host/cpu"), "x.mp4", {})
        time.now += 1000
    assert set(store.many([*ids, waiting, "f" * 21])) == {*ids, waiting}
    assert references.still_named(store.database, ["a", "b", "c"]) == {"a", "b"}
    ended = [job.id for job in store.finished_before(time.now - 1500)]
    assert ended == sorted(ended)
    assert set(ended) < set(ids)
    assert len(ended) == 2
    store.pin(ended[0], True)
    assert [job.id for job in store.finished_before(time.now - 1500)] == ended[1:]
    with pytest.raises(WrongStateError):
        store.delete(ended[0], even_pinned=False)
    assert store.delete(ended[0]).pinned
    assert store.finished_before(time.now - 10**6) == []


def test_many_workers_take_each_job_once(store, database):
    for _ in range(40):
        store.submit(_new())
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


def test_keys_and_logins(database, time):
    accounts = Accounts(database, time)
    secret, account = accounts.create("desk", Role.SUBMIT)
    assert accounts.find(secret) == account
    assert accounts.find(secret + "x") is None
    cookie, login = accounts.log_in(account)
    assert accounts.session(cookie) == login
    time.now += 13 * 3600
    assert accounts.session(cookie) is None
    cookie, _ = accounts.log_in(account)
    accounts.revoke(account.id)
    assert accounts.find(secret) is None
    assert accounts.session(cookie) is None
    with pytest.raises(ValueError):
        Role("root")


def test_the_disk_keeps_no_secret(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'k.db'}")
    database.migrate()
    secret, account = Accounts(database).create("desk", Role.ADMIN)
    cookie, _ = Accounts(database).log_in(account)
    database.engine.dispose()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in stored
    assert cookie.encode() not in stored
    assert shutil.disk_usage(tmp_path).free > 0
