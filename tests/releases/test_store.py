"""Releases on SQLite and PostgreSQL: no way but the table's, and of two who decide one wins."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.accounts.accounts import Account
from src.accounts.rights import Right
from src.core.addresses import StoredFile, clip_key
from src.core.errors import BadInputError
from src.database import artifact_rows
from src.database.tables import artifacts, jobs
from src.jobs.errors import WrongStateError
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.journal.checking import check_log, entries, read_entry
from src.releases import store as store_module
from src.releases.model import ReleaseStateError, Wish
from src.releases.rules import allowed
from src.releases.states import TRANSITIONS, ReleaseState, Who
from src.releases.store import TEXTS, ReleaseStore

HASH = "a" * 64
RIGHTS = [set(some) for size in range(6) for some in itertools.combinations(Right, size)]
PERSONS = {"owner": "Olga", "twin": "Olga", "other": "Peter", "third": "Paula", "robot": ""}


def account(name, rights=tuple(Right)):
    return Account(name, name, frozenset(rights), 0.0, person=PERSONS[name])


def finished(database, owner="owner"):
    """A job with a clip."""
    store = JobStore(database)
    job, _ = store.submit(NewJob("generate", owner, {"prompt": "pan left"}))
    name = f"pan-left-{job.id}-1.mp4"
    row = artifact_rows.row(StoredFile(clip_key(name), 4, sha256=HASH), 1.0, job=job.id)
    with database.write() as connection:
        change = jobs.update().where(jobs.c.id == job.id)
        connection.execute(change.values(state="COMPLETED", artifact=name, finished_at=1.0))
        artifact_rows.add_artifacts(connection, [row])
    return store.get(job.id)


def draft(store, job, supersedes=None):
    key = clip_key(str(job.artifact))
    return store.create(job, "pan left", account("owner"), key, None, supersedes)


def step(store, release, action, who, rights=tuple(Right), **told):
    text = "because" if action in TEXTS else ""
    wish = Wish(action, **{"sha256": HASH, "text": text} | told)
    return store.act(release, wish, account(who, rights), PERSONS)


def forced(database, release, state):
    """The release as it would be in any state."""
    from src.database.tables import releases

    values = {"state": state, "submitter": "owner", "sha256": HASH}
    values |= {"open_job": None, "ended_at": None}
    with database.write() as connection:
        connection.execute(releases.update().where(releases.c.id == release.id).values(values))


def may(action, state, who, rights):
    """The rules of the house, said once more and otherwise than in the code."""
    submits = {"draft": {"submit"}, "submitted": {"recall"}, "approved": {"recall"}}
    decides = {"submitted": {"approve", "reject"}, "approved": {"reject"}}
    lets = {"approved": {"release"}, "released": {"withdraw"}}
    mine = who == "owner" or "admin" in rights
    return (
        (action in submits.get(state, ()) and "submit" in rights and mine)
        or (action in decides.get(state, ()) and "approve" in rights and who in ("other", "third"))
        or (action in lets.get(state, ()) and "release" in rights)
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A database with one release, on SQLite: thousands of tries."""
    from src.database.database import Database

    made = Database(f"sqlite:///{tmp_path_factory.mktemp('one') / 'jobs.db'}")
    made.migrate()
    job = finished(made)
    yield made, ReleaseStore(made), draft(ReleaseStore(made), job)
    made.engine.dispose()


@settings(max_examples=600, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(
    action=st.sampled_from(sorted(TRANSITIONS)), state=st.sampled_from(list(ReleaseState)),
    who=st.sampled_from(sorted(PERSONS)), rights=st.sampled_from(RIGHTS),
)  # fmt: skip
def test_no_way_but_the_tables(one, action, state, who, rights):
    database, store, release = one
    forced(database, release, state)
    now, before = store.get(release.id), check_log(database).size
    told = {each.action for each in allowed(now, account(who, rights), PERSONS)}
    try:
        after, done = step(store, now, action, who, rights).state, True
    except BadInputError:
        after, done = store.get(release.id).state, False
    assert done == may(action, state, who, rights)
    assert (action in told) == done
    assert after == (TRANSITIONS[action].target if done else state)
    assert check_log(database).size == before + done


def test_every_way_was_tried_by_hand_too(one):
    """All of them: states x actions x keys x sets of rights, without the database."""
    _, _, release = one
    from dataclasses import replace

    for state, who, rights in itertools.product(ReleaseState, sorted(PERSONS), RIGHTS):
        now = replace(release, state=state, submitter="owner", sha256=HASH)
        told = {each.action for each in allowed(now, account(who, rights), PERSONS)}
        assert told == {each for each in TRANSITIONS if may(each, state, who, rights)}


def test_the_table_itself():
    final = [state for state in ReleaseState if state.final]
    for each in TRANSITIONS.values():
        assert not each.sources & set(final), "nothing leads out of what is final"
    into = {each.target: each for each in TRANSITIONS.values()}
    assert into[ReleaseState.APPROVED].who is Who.OTHERS and into[ReleaseState.APPROVED].reads
    assert into[ReleaseState.RELEASED].sources == {ReleaseState.APPROVED}


def racing(*calls):
    """Call all at once; what each raised, or None."""
    ready, found = threading.Barrier(len(calls)), []

    def run(call):
        ready.wait()
        try:
            call()
        except BadInputError as error:
            found.append(error)
        else:
            found.append(None)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_of_two_who_decide_at_once_one_wins(any_database, second):
    store = ReleaseStore(any_database)
    for _ in range(10):
        release = step(store, draft(store, finished(any_database)), "submit", "owner")
        found = racing(
            lambda release=release: step(store, release, "approve", "other"),
            lambda release=release: step(store, release, second, "third"),
        )
        assert found.count(None) == 1 and any(isinstance(e, ReleaseStateError) for e in found)
    told = [read_entry(each)["action"] for each in entries(any_database)]
    assert sum(each in ("release.approve", "release.reject") for each in told) == 10
    assert check_log(any_database).problems == []


def test_a_clip_is_deleted_or_submitted_but_not_both(any_database):
    store, jobs_of = ReleaseStore(any_database), JobStore(any_database)
    outcomes = set()
    for _ in range(10):
        job = finished(any_database)
        release = draft(store, job)
        found = racing(
            lambda release=release: step(store, release, "submit", "owner"),
            lambda job=job: jobs_of.delete(job.id),
        )
        assert found.count(None) == 1, found
        outcomes.add(type(next(each for each in found if each)))
    assert outcomes <= {ReleaseStateError, WrongStateError}


def two_corrections(database, store, old):
    """A release that is out, and two that may take its place."""
    for action, who in (("submit", "owner"), ("approve", "other"), ("release", "third")):
        old = step(store, old, action, who)
    ready = []
    for _ in range(2):
        made = draft(store, finished(database), old.id)
        ready.append(step(store, step(store, made, "submit", "owner"), "approve", "other"))
    return old, ready


def test_a_correction_that_comes_between_look_and_change_wins(postgres_database):
    store, look = ReleaseStore(postgres_database), store_module._row
    made = draft(store, finished(postgres_database))
    old, (first, second) = two_corrections(postgres_database, store, made)

    def then_another(connection, release_id, now):
        found = look(connection, release_id, now)
        if release_id == old.id:
            patch.undo()
            step(store, second, "release", "third")
        return found

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ReleaseStateError):
        patch.setattr(store_module, "_row", then_another)
        step(store, first, "release", "third")
    assert store.get(old.id).successor == second.id
    assert store.get(first.id).state is ReleaseState.APPROVED


def test_of_two_drafts_and_of_two_corrections_one_wins(any_database):
    store, job = ReleaseStore(any_database), finished(any_database)
    found = racing(lambda: draft(store, job), lambda: draft(store, job))
    assert found.count(None) == 1
    old, ready = two_corrections(any_database, store, store.of_job(job.id))
    found = racing(*[lambda each=each: step(store, each, "release", "third") for each in ready])
    assert found.count(None) == 1
    assert store.get(old.id).state is ReleaseState.SUPERSEDED
    with any_database.read() as connection:
        states = connection.execute(artifacts.select()).mappings()
        assert sorted(str(row["release"]) for row in states) == [
            "approved", "released", "superseded",
        ]  # fmt: skip
