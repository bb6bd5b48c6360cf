"""One suite for the durable store on SQLite, and on a PostgreSQL that the test starts where it is
installed.
"""

import shutil
import threading

import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.database.database import Database
from src.jobs import references
from src.jobs.errors import UnknownJobError, WrongStateError
from src.jobs.model import NewJob, State
from src.jobs.search import JobFilter
from tests.contracts.job_store.kit import new_job


def test_the_tables_are_those_of_the_migrations(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from src.database.tables import metadata

    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.migrate()


def test_submit_get_and_the_first_event(store):
    job, fresh = store.submit(new_job(priority=1))
    assert fresh
    assert job.state is State.PENDING
    assert store.get(job.id) == job
    assert [event.data["state"] for event in store.events(job.id)] == ["PENDING"]
    with pytest.raises(UnknownJobError):
        store.get(job.id, owner="b")


def test_an_idempotency_key_makes_one_job(store):
    first, _ = store.submit(new_job(idempotency_key="k"))
    again, fresh = store.submit(new_job(idempotency_key="k"))
    assert (again.id, fresh) == (first.id, False)
    assert store.submit(new_job(owner="b", idempotency_key="k"))[1]
    with pytest.raises(WrongStateError, match="another request"):
        store.submit(NewJob("generate", "a", {"prompt": "other"}, idempotency_key="k"))


def test_submissions_of_many_threads_with_one_key_among_them_make_each_job_once(store):
    made, threads = [], []
    for number in range(40):
        new = new_job(idempotency_key="same" if number % 4 == 0 else f"own {number}")
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


def test_a_submission_whose_clip_is_gone_takes_no_other_ones_along(store):
    gone, refused = NewJob("upscale", "a", {"input": "artifact:x.mp4", "of": "0" * 21}), []

    def work():
        for number in range(12):
            if number % 3:
                store.submit(new_job())
                continue
            with pytest.raises(WrongStateError, match="nothing left of its clip"):
                store.submit(gone)
            refused.append(number)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(store.page(limit=200)), len(refused)) == (6 * 8, 6 * 4)


def test_cancel_retry_and_delete_know_the_states(store, leases):
    waiting, _ = store.submit(new_job())
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


def test_a_clip_that_is_to_be_enlarged_is_held_and_found(store, leases):
    clip, _ = store.submit(new_job())
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
        ids.append(store.submit(new_job(owner="ab"[index % 2]))[0].id)
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
    waiting = store.submit(new_job())[0].id
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
        store.delete(ended[0], seen=store.get(ended[0]))
    assert store.delete(ended[0]).pinned
    assert store.finished_before(time.now - 10**6) == []


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
