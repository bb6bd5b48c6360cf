"""Each event once a target, none lost: late commits, several collectors and senders, targets that
fail or are gone. With SQLite and PostgreSQL.
"""

import itertools
import threading
import time

import pytest
from sqlalchemy import insert, select

from src.core.errors import BadInputError, MissingFileError
from src.database.tables import events, facts, notices
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.notices.collecting import Collector
from src.notices.notifier import GoneError, NotDeliveredError
from src.notices.outbox import FAILED, HELD_S, RETRIES, SENT, Outbox
from src.notices.postman import Postman
from src.notices.rules import MOST, Rules


class Clock:
    """A time that tests move."""

    def __init__(self):
        self.now = 1_795_000_000.0

    def __call__(self):
        return self.now


class Channel:
    """Notes what is sent; raises what `errors` holds first."""

    name = "email"

    def __init__(self):
        self.sent, self.errors, self.turn = [], [], threading.Lock()

    def check(self, address):
        return address

    def shown(self, address):
        return f"{address[:3]}..."

    def send(self, notice, target):
        with self.turn:
            if self.errors:
                raise self.errors.pop(0)
            self.sent.append((notice.kind, target.address, notice.id))


@pytest.fixture
def house(any_database):
    """A database, its clock, and what tells of it."""
    clock, channel = Clock(), Channel()
    store, leases = JobStore(any_database, clock), LeaseStore(any_database, clock)

    class House:
        rules, outbox = Rules(any_database, clock), Outbox(any_database, clock=clock)
        collector = Collector(outbox, stuck_s=900.0)
        postman = Postman(outbox, collector, {"email": channel})

        @staticmethod
        def job(owner="desk", ending="complete", prompt="city hall"):
            store.submit(NewJob("generate", owner, {"prompt": prompt}))
            leases.hold_device("d", "w", "p", {})
            job = leases.claim("w", "d")
            if ending == "complete":
                leases.complete(job, f"{job.id}.mp4", {})
            else:
                leases.fail(job, {"type": "Boom", "detail": ending, "status": 500})
            return job

        @staticmethod
        def rows():
            with any_database.read() as connection:
                return connection.execute(select(notices).order_by(notices.c.created_at)).all()

        def work(self):
            self.collector.collect()
            self.postman.deliver("email")

    made = House()
    made.clock, made.channel, made.store, made.database = clock, channel, store, any_database
    return made


def test_who_wants_it_hears_of_it_once_and_of_nothing_from_before(house):
    house.job()
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.rules.add("other", ["done"], "email", "other@x.org")
    house.rules.add("", ["done", "failed"], "email", "all@x.org")
    first, second = house.job(), house.job(ending="no memory")
    for _ in range(3):
        house.work()
    told = [(kind, address) for kind, address, _ in house.channel.sent]
    assert sorted(told) == [("done", "all@x.org"), ("done", "desk@x.org"), ("failed", "all@x.org")]
    data = {row.event: row.data for row in house.rows()}
    assert {each["job"] for each in data.values()} == {first.id, second.id}
    assert next(each for each in data.values() if each["job"] == second.id)["detail"] == "no memory"


def test_a_later_rule_and_one_that_is_switched_on_again_hear_of_nothing_from_before(house):
    def told():
        return [address for _, address, _ in house.channel.sent]

    house.rules.add("desk", ["done"], "email", "first@x.org")
    gone = house.rules.add("desk", ["done"], "email", "gone@x.org")
    with house.database.write() as connection:
        house.rules.switch_off(connection, "email", gone.digest, "it is gone")
    house.job()
    house.work()
    house.clock.now += 1
    house.rules.add("desk", ["done"], "email", "late@x.org")
    house.rules.switch_on(gone.id, "desk")
    house.work()
    assert told() == ["first@x.org"]
    house.job()
    house.clock.now += 1
    house.rules.switch_on(gone.id, "desk")  # it is on: what it has not heard of yet stays its own
    house.work()
    assert sorted(told()) == ["first@x.org", "first@x.org", "gone@x.org", "late@x.org"]


def test_what_another_one_sent_meanwhile_stays_sent(house):
    """A sender that is slower than it may be is no longer the only one."""
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.job()
    house.collector.collect()
    [slow] = house.outbox.take("email")
    house.clock.now += HELD_S + 1
    [quick] = house.outbox.take("email")
    house.outbox.sent(quick)
    assert not house.outbox.not_sent(slow, NotDeliveredError("too late"))
    house.outbox.dropped(slow)
    house.outbox.gone(slow, GoneError("gone"), "desk")
    assert {row.id: row.state for row in house.rows()}[slow.notice.id] == SENT


def test_two_rules_of_one_target_tell_it_once(house):
    for owner in ("desk", ""):
        house.rules.add(owner, ["done"], "email", "editor@x.org")
    house.job()
    house.work()
    assert len(house.channel.sent) == 1


def test_collectors_and_senders_that_work_at_once_tell_each_event_once(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    jobs = [house.job() for _ in range(20)]
    threads = []
    for _ in range(4):
        collector = Collector(house.outbox, 0.0)
        postman = Postman(house.outbox, collector, {"email": house.channel})

        def work(collector=collector, postman=postman):
            for _ in range(3):
                collector.collect()
                postman.deliver("email")

        threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.work()
    assert len(house.channel.sent) == len(jobs)
    assert len({identity for _, _, identity in house.channel.sent}) == len(jobs)


def test_an_event_that_is_committed_after_a_later_one_is_told(house):
    """On PostgreSQL numbers are given before the commit; with SQLite nobody can be so late."""
    if house.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    late, soon = (house.store.submit(NewJob("generate", "desk", {}))[0] for _ in range(2))

    def row(job):
        told = {"state": "COMPLETED"}
        return insert(events).values(job_id=job.id, at=house.clock(), kind="state", data=told)

    with house.database.write() as slow:
        slow.execute(row(late))
        with house.database.write() as quick:
            quick.execute(row(soon))
        house.work()
        assert [each.data["job"] for each in house.rows()] == [soon.id]
    house.work()
    assert {each.data["job"] for each in house.rows()} == {soon.id, late.id}
    assert len(house.channel.sent) == 2


def test_the_cursor_moves_behind_what_may_still_come_and_outlives_the_process(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.collector = Collector(house.outbox, 0.0, late_s=0.2)

    def cursor():
        with house.database.read() as connection:
            query = select(facts.c.value).where(facts.c.name == "notices")
            return int(connection.execute(query).scalar_one())

    begin = cursor()
    house.job()
    house.work()
    assert cursor() == begin
    time.sleep(0.3)
    house.work()
    assert cursor() == house.store.last_event()
    house.collector = Collector(house.outbox, 0.0)
    house.job()
    house.work()
    assert len(house.channel.sent) == 2


def test_what_could_not_be_sent_is_tried_again_after_1_5_and_25_minutes(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.job()
    house.channel.errors = [NotDeliveredError("the mail server is away")] * 4
    tried = []
    for second in range(0, 2400, 20):
        before = len(house.channel.errors)
        house.work()
        tried += [second] * (before - len(house.channel.errors))
        house.clock.now += 20
    steps = [after - before for before, after in itertools.pairwise(tried)]
    assert steps == list(RETRIES) == [60, 300, 1500]
    (row,) = house.rows()
    assert (row.state, row.attempts, row.problem) == (FAILED, 4, "the mail server is away")
    assert house.channel.sent == []


def test_a_pause_that_the_other_side_asks_for_is_kept(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.job()
    house.channel.errors = [NotDeliveredError("too much", after=200.0)]
    house.work()
    house.clock.now += 199
    house.work()
    assert house.channel.sent == []
    house.clock.now += 1
    house.work()
    assert [row.state for row in house.rows()] == [SENT]


def test_a_target_that_is_gone_is_switched_off_and_told(house):
    gone = house.rules.add("desk", ["done"], "email", "gone@x.org")
    house.rules.add("desk", ["failed"], "email", "editor@x.org")
    house.rules.add("", ["failed"], "email", "admin@x.org")
    house.rules.add("other", ["done"], "email", "stranger@x.org")
    house.job()
    house.channel.errors = [GoneError("it says that it is gone (404)")]
    house.work()
    house.work()
    (rule,) = [rule for rule in house.rules.of("desk") if rule.id == gone.id]
    assert (rule.active, rule.why) == (False, "it says that it is gone (404)")
    told = sorted((kind, address) for kind, address, _ in house.channel.sent)
    assert told == [("off", "admin@x.org"), ("off", "editor@x.org")]
    shown = [row.data["target"] for row in house.rows() if row.kind == "off"]
    assert shown == ["gon..."] * 2
    house.job()
    house.work()
    assert len(house.channel.sent) == 2
    house.rules.switch_on(gone.id, "desk")
    house.job()
    house.work()
    assert house.channel.sent[-1][:2] == ("done", "gone@x.org")


def test_a_sender_that_died_leaves_its_notice_to_the_next_one(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.job()
    house.collector.collect()
    assert len(house.outbox.take("email")) == 1  # and dies
    assert house.outbox.take("email") == []
    house.clock.now += 121
    house.work()
    assert len(house.channel.sent) == 1


def test_what_waits_for_a_rule_that_was_removed_is_dropped(house):
    rule = house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.rules.add("desk", ["failed"], "email", "editor@x.org")
    house.job()
    house.collector.collect()
    with pytest.raises(MissingFileError):
        house.rules.remove(rule.id, "other")
    house.rules.remove(rule.id, "desk")
    house.work()
    assert [(row.state, row.problem) for row in house.rows()] == [
        (FAILED, "its rule was removed or switched off")
    ]
    assert house.channel.sent == []


def test_a_queue_that_is_stuck_is_told_once_while_it_lasts(house):
    house.rules.add("", ["stuck"], "email", "admin@x.org")
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    waiting, _ = house.store.submit(NewJob("generate", "desk", {}))
    for wait in (890, 20, 300, 300):
        house.clock.now += wait
        Collector(house.outbox, 900.0).collect()
        house.work()
    assert [each[:2] for each in house.channel.sent] == [("stuck", "admin@x.org")]
    assert house.rows()[0].data["waiting"] == 1
    house.store.cancel(waiting.id)
    house.work()
    house.store.submit(NewJob("generate", "desk", {}))
    house.clock.now += 901
    house.work()
    house.work()
    assert [each[0] for each in house.channel.sent] == ["stuck", "stuck"]


def test_rules_are_checked_and_counted(house):
    for wrong in ([], ["done", "undone"]):
        with pytest.raises(BadInputError, match="events must be some of"):
            house.rules.add("desk", wrong, "email", "x")
    with pytest.raises(BadInputError, match="only a rule for all keys"):
        house.rules.add("desk", ["stuck"], "email", "x")
    for number in range(MOST):
        house.rules.add("desk", ["done"], "email", f"{number}@x.org")
    with pytest.raises(BadInputError, match="remove one first"):
        house.rules.add("desk", ["done"], "email", "x@x.org")


def test_what_ended_long_ago_is_forgotten(house):
    house.rules.add("desk", ["done"], "email", "desk@x.org")
    house.job()
    house.work()
    house.clock.now += 29 * 86400
    house.outbox.tidy()
    assert [row.state for row in house.rows()] == [SENT]
    house.clock.now += 2 * 86400
    house.outbox.tidy()
    assert house.rows() == []
