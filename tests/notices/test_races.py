"""Two who change rules at one time, on PostgreSQL: what was counted, or found to be missing, is so
until the change is there.
"""

import pytest
from sqlalchemy import func, select

from src.core.errors import BadInputError
from src.database.tables import notices
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.notices import rules as module
from src.notices.collecting import Collector
from src.notices.notifier import GoneError
from src.notices.outbox import Outbox
from src.notices.rules import MOST, SETTINGS, Rule, Rules, target_digest
from tests.database.race_kit import meanwhile

GONE = GoneError("it says that it is gone (404)")


@pytest.fixture
def rules(postgres_database):
    return Rules(postgres_database)


def add(rules, owner="desk", kind="done", number=0):
    return rules.add(owner, [kind], "email", f"{number}@x.org")


def test_a_key_has_no_more_rules_than_it_may_have_whoever_adds_them(rules):
    for number in range(MOST - 1):
        add(rules, number=number)
    with (
        pytest.raises(BadInputError, match="remove one first"),
        meanwhile(rules.database, Rules, "_begin", lambda: add(rules, number=MOST)),
    ):
        add(rules, number=MOST + 1)
    assert len(rules.of("desk")) == MOST


def test_two_keys_add_the_first_rule_at_once(rules):
    with meanwhile(rules.database, module, "insert", lambda: add(rules, "other")):
        add(rules)
    assert {rule.owner for rule in rules.active()} == {"desk", "other"}


def test_two_keys_switch_the_only_rules_on_at_once(rules):
    made = [add(rules), add(rules, "other")]
    with rules.database.write() as connection:
        for rule in made:
            rules.switch_off(connection, "email", rule.digest, "it is gone")
    with meanwhile(rules.database, module, "insert", lambda: rules.switch_on(made[1].id, "other")):
        rules.switch_on(made[0].id, "desk")
    assert len(rules.active()) == 2


def test_replicas_that_start_at_once_read_the_rules_of_the_settings(rules):
    target = "desk@x.org"
    wanted = [Rule("1", "", ("done",), "email", target, target_digest(target), None, SETTINGS,
                   True, None, 1.0)]  # fmt: skip
    with meanwhile(rules.database, Rules, "_begin", lambda: rules.sync(wanted)):
        rules.sync(wanted)
    assert rules.of(None) == wanted


def test_a_target_that_is_gone_is_told_once_whoever_notes_it(rules):
    database = rules.database
    now, store, leases = [1_795_000_000.0], JobStore(database), LeaseStore(database)
    outbox = Outbox(database, clock=lambda: now[0])
    outbox.rules.add("desk", ["done"], "email", "gone@x.org")
    outbox.rules.add("", ["failed"], "email", "admin@x.org")
    for _ in range(2):
        store.submit(NewJob("generate", "desk", {}))
        leases.hold_device("d", "w", "p", {})
        leases.complete(leases.claim("w", "d"), "x.mp4", {})
    Collector(outbox, 0.0).collect()
    first, second = outbox.take("email")

    def noted_too():
        now[0] += 1
        outbox.gone(second, GONE, "gon...")

    with meanwhile(database, Outbox, "_tell_off", noted_too):
        outbox.gone(first, GONE, "gon...")
    with database.read() as connection:
        off = select(func.count()).select_from(notices).where(notices.c.kind == "off")
        assert connection.execute(off).scalar_one() == 1
