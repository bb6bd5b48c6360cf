"""The audit log: whatever is changed, taken out or cut off is named."""

import threading

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.api import recording
from src.api.recording import Recording
from src.api.settings import ServiceSettings
from src.core.errors import NewsreelError
from src.database.tables import audit
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.journal.checking import check_log, entries, read_entry
from src.journal.entries import BEGINNING, Act, AuditError, append, canonical, digest
from tests.database.race_kit import meanwhile

COUNT = 12


@pytest.fixture
def log(any_database):
    """A log of a dozen entries."""
    for number in range(COUNT):
        with any_database.write() as connection:
            append(connection, [Act("k", "job.submit", f"job{number}", {"n": number})])
    return any_database


def unguarded(database, *statements):
    """As somebody who owns the database may: the triggers off."""
    off = [f"DROP TRIGGER audit_no_{each}" for each in ("update", "delete", "replace")]
    if not database.is_sqlite:
        off = ["ALTER TABLE audit DISABLE TRIGGER ALL"]
    with database.write() as connection:
        for statement in (*off, *statements):
            connection.execute(text(statement))


def test_entries_follow_each_other(log):
    found = list(entries(log))
    assert [each.number for each in found] == list(range(1, COUNT + 1))
    assert read_entry(found[0])["previous"] == BEGINNING
    assert read_entry(found[5])["previous"] == found[4].hash == digest(found[4].text)
    assert all(each.text == canonical(read_entry(each)) for each in found)
    finding = check_log(log, {COUNT: found[-1].hash, 3: found[2].hash})
    assert (finding.size, finding.head, finding.problems) == (COUNT, found[-1].hash, [])


@pytest.mark.parametrize("what", ["UPDATE audit SET hash = ''", "DELETE FROM audit",
                                  "UPDATE audit SET entry = entry WHERE number = 3"])  # fmt: skip
def test_the_database_itself_refuses(log, what):
    with pytest.raises((DBAPIError, NewsreelError), match="never changed|audit"), log.write() as c:
        c.execute(text(what))
    assert check_log(log).problems == []


def test_nobody_replaces_an_entry(log):
    how = "INSERT OR REPLACE INTO audit VALUES (3, '{}', 'x')"
    if not log.is_sqlite:
        how = "INSERT INTO audit VALUES (3, '{}', 'x') ON CONFLICT (number) DO UPDATE SET hash='x'"
    with pytest.raises((DBAPIError, NewsreelError), match="never changed"), log.write() as c:
        c.execute(text(how))
    assert check_log(log).problems == []


def test_nobody_truncates_it_on_postgresql(log):
    if log.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="never changed"), log.write() as connection:
        connection.execute(text("TRUNCATE audit"))


def test_every_changed_byte_is_named(log):
    """Each byte of one entry, in turn, and each of its hash."""
    fifth = list(entries(log))[4]
    unguarded(log)
    for column, whole in (("entry", fifth.text), ("hash", fifth.hash)):
        for at in range(len(whole)):
            other = chr(ord(whole[at]) ^ 1)
            _set(log, column, whole[:at] + other + whole[at + 1 :])
            problems = check_log(log).problems
            assert any("entry 5" in each or "entry 6" in each for each in problems), (column, at)
        _set(log, column, whole)
    assert check_log(log).problems == []


def _set(database, column, value):
    with database.write() as connection:
        connection.execute(audit.update().where(audit.c.number == 5).values({column: value}))


def test_an_entry_that_was_made_anew_does_not_fit(log):
    fifth = list(entries(log))[4]
    unguarded(log)
    new = fifth.text.replace('"n":4', '"n":5')
    with log.write() as connection:
        change = audit.update().where(audit.c.number == 5)
        connection.execute(change.values(entry=new, hash=digest(new)))
    assert check_log(log).problems == [
        "entry 6 does not follow the one before it: one of them was replaced"
    ]


@pytest.mark.parametrize("column", ["entry", "hash"])
@pytest.mark.parametrize("how", ["x'ff00'", "CAST(x'ff00' AS TEXT)", "CAST({} AS BLOB)", "x''"])
def test_what_is_no_text_any_more_is_named(log, column, how):
    if not log.is_sqlite:
        pytest.skip("PostgreSQL's text is text")
    unguarded(log, f"UPDATE audit SET {column} = {how.format(column)} WHERE number = 5")
    problems = check_log(log).problems
    assert problems[0] == "entry 5 was changed: it is no text"
    assert {line.split()[1] for line in problems} <= {"5", "6"}
    assert [each.whole for each in entries(log)] == [n != 5 for n in range(1, COUNT + 1)]


def test_nothing_follows_an_entry_whose_hash_is_no_text(log):
    if not log.is_sqlite:
        pytest.skip("PostgreSQL's text is text")
    unguarded(log, f"UPDATE audit SET hash = x'ff' WHERE number = {COUNT}")
    with pytest.raises(AuditError, match=f"entry {COUNT}"), log.write() as connection:
        append(connection, [Act("k", "job.submit", "late")])


@pytest.mark.parametrize(
    ("where", "words"),
    [("number = 4", "entry 4 is missing"), ("number < 3", "entries 1 to 2 are missing"),
     ("number BETWEEN 5 AND 9", "entries 5 to 9 are missing")],
)  # fmt: skip
def test_a_gap_is_named(log, where, words):
    unguarded(log, f"DELETE FROM audit WHERE {where}")
    assert check_log(log).problems == [words]


def test_a_cut_tail_is_named_by_a_checkpoint_alone(log):
    last = list(entries(log))[-1]
    unguarded(log, "DELETE FROM audit WHERE number > 9")
    assert check_log(log).problems == []
    assert check_log(log, {COUNT: last.hash}).problems == [
        f"the end is cut off: a checkpoint names {COUNT} entries, and there are 9"
    ]


def test_a_whole_chain_made_anew_is_named_by_a_checkpoint(log):
    anchor = list(entries(log))[7]
    unguarded(log, "DELETE FROM audit")
    for number in range(COUNT):
        with log.write() as connection:
            append(connection, [Act("k", "job.submit", f"other{number}")])
    assert check_log(log).problems == []
    assert check_log(log, {8: anchor.hash}).problems == [
        "entry 8 is not the one that a checkpoint names"
    ]


def test_many_who_append_at_once_make_one_chain(any_database):
    def work(who):
        for number in range(15):
            with any_database.write() as connection:
                append(connection, [Act(who, "job.submit", f"{who}{number}")] * 2)

    threads = [threading.Thread(target=work, args=(f"k{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finding = check_log(any_database)
    assert (finding.size, finding.problems) == (6 * 15 * 2, [])


def test_what_is_rolled_back_leaves_no_gap(log):
    with pytest.raises(RuntimeError), log.write() as connection:
        append(connection, [Act("k", "job.submit", "never")])
        raise RuntimeError
    with log.write() as connection:
        append(connection, [Act("k", "job.submit", "next")])
    assert check_log(log).size == COUNT + 1 and check_log(log).problems == []


def test_what_is_no_json_any_more_is_named(log):
    unguarded(log)
    with log.write() as connection:
        connection.execute(audit.update().where(audit.c.number == 5).values(
            entry="[1", hash=digest("[1")))  # fmt: skip
    assert any("entry 5" in each for each in check_log(log).problems)
    with log.write() as connection:
        connection.execute(insert(audit).values(number=-3, entry="{}", hash=digest("{}")))
    assert check_log(log).problems[0] == "entry -3 is none of the chain, which begins with 1"


def test_keys_and_their_rights_are_in_it_without_names(any_database):
    accounts = Accounts(any_database)
    _, key = accounts.create("Anna Berg", Role.SUBMIT, person="Anna Berg")
    accounts.grant(key.id, ["read"], "Anna Berg")
    accounts.assign(key.id, "sports")
    with pytest.raises(NewsreelError, match="is in use"):
        accounts.erase(key.id)
    accounts.revoke(key.id)
    accounts.erase(key.id)
    told = [read_entry(each) for each in entries(any_database)]
    assert [each["action"] for each in told] == [
        "key.create", "key.rights", "key.desk", "key.revoke", "key.erase",
    ]  # fmt: skip
    assert {each["subject"] for each in told} == {key.id}
    assert "Anna" not in "".join(each.text for each in entries(any_database))
    assert (accounts.all()[0].name, accounts.all()[0].person) == ("erased", "")


def test_another_person_shows_in_the_log_and_without_one_it_stays(any_database):
    accounts = Accounts(any_database)
    _, key = accounts.create("k", Role.SUBMIT, person="Anna Berg")
    assert accounts.grant(key.id, ["read"]) == "Anna Berg"
    assert accounts.grant(key.id, ["read"], "anna  BERG") == "anna  BERG"
    assert accounts.grant(key.id, ["read"], "Bert") == "Bert"
    assert accounts.grant(key.id, ["read"], "") == ""
    told = [read_entry(each)["data"]["person"] for each in entries(any_database)]
    assert told[0] == told[1] == told[2] != "", "case and spaces make no other person"
    assert told[3] not in (told[0], "") and told[4] == ""
    assert len(told[0]) == 32 and told[0] != digest("Anna Berg")[:32], "not to be guessed"
    assert Accounts(any_database).persons([key.id]) == {key.id: ""}


def test_an_erased_person_is_still_told_apart_by_pseudonym(any_database):
    accounts = Accounts(any_database)
    (_, old), (_, new) = (accounts.create("k", Role.READ, person="Anna Berg") for _ in range(2))
    accounts.revoke(old.id)
    for _ in range(2):
        accounts.erase(old.id)
    found = Accounts(any_database).persons([old.id, new.id])
    assert found[old.id] == found[new.id] != ""
    with pytest.raises(NewsreelError, match="no key in use"):
        accounts.grant(old.id, ["read"], "Bert")
    with pytest.raises(NewsreelError, match="does not begin with"):
        accounts.create("k", Role.READ, person=f"erased:{found[old.id]}")


def test_submissions_that_share_a_commit_have_an_entry_each(any_database):
    store = JobStore(any_database)

    def work(who):
        for number in range(8):
            key = "same" if number % 4 == 0 else f"{who}{number}"
            store.submit(NewJob("generate", "a", {"prompt": "p"}, idempotency_key=key))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [read_entry(each) for each in entries(any_database)]
    assert check_log(any_database).problems == []
    assert sorted(each["subject"] for each in told) == sorted(
        job.id for job in store.page(limit=200)
    )
    assert len(told) == 8 * 6 + 1


def test_settings_are_told_once_while_they_stay_and_never_their_secrets(any_database):
    first = ServiceSettings(database="postgresql://u:hush@h/n", smtp="smtp://u@h", keep_days=3)
    for settings in (first, first, ServiceSettings(database="x", keep_days=4)):
        Recording(any_database).settings(settings.told())
    told = [read_entry(each)["data"] for each in entries(any_database)]
    assert [each["keep_days"] for each in told] == [3, 4]
    assert told[0]["smtp"] == "set" and told[1]["smtp"] == ""
    assert "hush" not in "".join(each.text for each in entries(any_database))


@pytest.mark.parametrize("before", [None, 3])
def test_replicas_that_start_at_once_tell_other_settings_once(postgres_database, before):
    def start(days=4):
        Recording(postgres_database).settings(ServiceSettings(database="x", keep_days=days).told())

    if before is not None:
        start(before)
    with meanwhile(postgres_database, recording, "append", start):
        start()
    told = [read_entry(each)["data"]["keep_days"] for each in entries(postgres_database)]
    assert told == ([4] if before is None else [before, 4])
