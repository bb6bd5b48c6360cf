"""A release and its job changed by two at one time, on PostgreSQL: neither is left without the
other.
"""

import pytest

from src.database.tables import artifacts
from src.jobs import references
from src.jobs.errors import UnknownJobError, WrongStateError
from src.jobs.store import JobStore
from src.releases import store as module
from src.releases.states import ReleaseState
from src.releases.store import ReleaseStore
from tests.database.race_kit import meanwhile
from tests.releases.test_store import draft, finished, step

EMBARGO = 1_900_000_000.0


class Hands:
    """Those of a house whose clocks tell different times."""

    def __init__(self, database):
        self.database, self.jobs = database, JobStore(database)
        self.before, self.after = (
            ReleaseStore(database, clock=lambda at=at: at) for at in (EMBARGO - 1, EMBARGO + 1)
        )

    def out(self, supersedes=None, embargo=None):
        made = draft(self.before, finished(self.database), supersedes)
        for action, who in (("submit", "owner"), ("approve", "other")):
            made = step(self.before, made, action, who)
        return step(self.before, made, "release", "third", embargo=embargo)


@pytest.fixture
def hands(postgres_database):
    return Hands(postgres_database)


def test_a_job_is_deleted_before_its_release_begins(hands):
    job = finished(hands.database)
    with (
        pytest.raises(UnknownJobError),
        meanwhile(hands.database, references, "settle", lambda: hands.jobs.delete(job.id)),
    ):
        draft(hands.before, job)
    assert hands.before.of_job(job.id) is None


def test_a_job_that_is_deleted_while_its_release_begins_takes_it_along(hands):
    job = finished(hands.database)
    with meanwhile(hands.database, module, "append", lambda: hands.jobs.delete(job.id)):
        draft(hands.before, job)
    assert hands.before.of_job(job.id) is None


def marks(hands):
    with hands.database.read() as connection:
        rows = connection.execute(artifacts.select()).mappings()
        return {row["job"]: row["release"] for row in rows}


def test_a_correction_that_is_withdrawn_in_its_last_second_leaves_the_mark(hands):
    old = hands.out()
    correction = hands.out(old.id, EMBARGO)
    late = JobStore(hands.database, clock=hands.after.clock)
    with (
        pytest.raises(WrongStateError, match="is released"),
        meanwhile(hands.database, references, "update",
                  lambda: step(hands.before, correction, "withdraw", "third")),
    ):  # fmt: skip
        late.delete(old.job)
    assert hands.after.get(old.id).state is ReleaseState.RELEASED
    assert marks(hands)[old.job] == "released"


def test_what_has_ended_is_another_revision(hands):
    """Who looked at it before changes it no more."""
    old = hands.out()
    hands.out(old.id, EMBARGO)
    looked_at = hands.before.get(old.id)
    with hands.database.write() as connection:
        references.settle(connection, old.job, EMBARGO + 1)
    with pytest.raises(module.ReleaseStateError, match="changed a moment ago"):
        step(hands.before, looked_at, "withdraw", "third")
    assert hands.after.get(old.id).state is ReleaseState.SUPERSEDED
