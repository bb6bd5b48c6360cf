"""Two who change keys at one time, on PostgreSQL: what a change was allowed for holds until it is
there.
"""

import pytest

from src.accounts import accounts as module
from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.core.addresses import clip_key
from src.core.errors import BadInputError
from src.journal.checking import entries, read_entry
from src.releases.model import Wish
from src.releases.store import ReleaseStore
from tests.database.race_kit import meanwhile
from tests.releases.test_store import HASH, finished


def test_services_that_start_at_once_make_one_first_key(postgres_database):
    accounts, made = Accounts(postgres_database), []

    def start():
        made.append(accounts.create_first(5, 50))

    with meanwhile(postgres_database, module, "append", start):
        start()
    assert made.count(None) == 1
    (first,) = accounts.all()
    assert accounts.find(next(filter(None, made))[0]) == first
    assert (first.name, first.breaking, first.may("admin")) == ("first", True, True)


def test_a_key_changes_hands_before_a_clip_of_it_is_submitted_or_after_the_decision(
    postgres_database,
):
    """Four eyes go by whose the key is: the log never tells of another person meanwhile."""
    accounts, store = Accounts(postgres_database), ReleaseStore(postgres_database)
    key = accounts.create("k", Role.SUBMIT, person="Anna")[1]
    job = finished(postgres_database, key.id)
    release = store.create(job, "pan left", key, clip_key(str(job.artifact)), None)

    def submit():
        store.act(release, Wish("submit", sha256=HASH), key, {})

    with meanwhile(postgres_database, module, "_change", submit):
        accounts.grant(key.id, Role.SUBMIT.rights, "Bert")
    told = [read_entry(each)["action"] for each in entries(postgres_database)]
    assert told[-2:] == ["key.rights", "release.submit"]
    with pytest.raises(BadInputError, match="is under approval"):
        accounts.grant(key.id, Role.SUBMIT.rights, "Anna")
