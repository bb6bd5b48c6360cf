"""The outbox: a row for each event, channel and target, written once whoever reads the events, and
sent by whoever takes it first.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Update, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from src.database.database import Clock, Database
from src.database.tables import notices
from src.notices.notifier import NotDeliveredError, Notice, Target
from src.notices.rules import Rule, Rules
from src.notices.wording import Happened, worded

WAITING, SENT, FAILED = "waiting", "sent", "failed"
RETRIES = (60.0, 300.0, 1500.0)
HELD_S = 120.0
"""How long who has taken a notice may need; another one tries it then."""
KEPT_S = 30 * 86400.0
ADD = {
    "sqlite": sqlite.insert(notices).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(notices).on_conflict_do_nothing(),
}


@dataclass(frozen=True)
class Parcel:
    """A notice that was taken, and where it goes; no target: its rule was removed, or is off."""

    notice: Notice
    channel: str
    digest: str
    attempts: int
    target: Target | None


class Outbox:
    """retries: seconds until each further attempt. site: the service's own address. clean: what
    texts may tell of this machine.
    """

    def __init__(
        self, database: Database, retries: Sequence[float] = RETRIES, site: str = "",
        clean: Callable[[Any], Any] = lambda value: value, clock: Clock = time.time,
    ) -> None:  # fmt: skip
        self.database, self.retries, self.site, self.clean = database, retries, site, clean
        self.clock, self.rules = clock, Rules(database, clock)

    def add(self, connection: Connection, told: Iterable[Happened], rules: Sequence[Rule]) -> None:
        """Rows for whoever wants to hear of it; those that are there stay as they are."""
        rows = {
            (each.event, rule.channel, rule.digest): self._row(each, rule)
            for each in told
            for rule in rules
            if rule.wants(each.kind, each.owner, each.at)
        }
        self._insert(connection, rows)

    def take(self, channel: str, most: int = 20) -> list[Parcel]:
        """Notices that are due: nobody else sends them for a while."""
        now = self.clock()
        due = (notices.c.state == WAITING) & (notices.c.channel == channel) & (notices.c.due <= now)
        query = select(notices).where(due).order_by(notices.c.due, notices.c.id).limit(most)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return []
        targets = {
            (rule.channel, rule.digest): Target(rule.target, rule.secret)
            for rule in self.rules.active()
        }
        return [self._parcel(row, targets) for row in rows if self._mine(row, now)]

    def sent(self, parcel: Parcel) -> None:
        """Whatever another one made of it meanwhile."""
        self._end(_any(parcel), state=SENT, attempts=parcel.attempts + 1, problem=None)

    def dropped(self, parcel: Parcel) -> None:
        """Nobody wants it any more."""
        self._end(_waiting(parcel), state=FAILED, problem="its rule was removed or switched off")

    def not_sent(self, parcel: Parcel, error: NotDeliveredError) -> bool:
        """Again later, or given up; returns whether it will be tried again. What another one sent,
        who took it after `HELD_S`, stays sent.
        """
        count = parcel.attempts + 1
        if count > len(self.retries):
            self._end(_waiting(parcel), state=FAILED, attempts=count, problem=str(error))
            return False
        pause = max(self.retries[count - 1], error.after or 0.0)
        values = {"attempts": count, "due": self.clock() + pause, "problem": str(error)}
        with self.database.write() as connection:
            return bool(connection.execute(_waiting(parcel).values(values)).rowcount)

    def gone(self, parcel: Parcel, error: NotDeliveredError, shown: str) -> None:
        """Switch the target's rules off, and tell those who had them where else they are told.
        shown: the target without its secret.
        """
        now, why = self.clock(), str(error)
        with self.database.write() as connection:
            off = self.rules.switch_off(connection, parcel.channel, parcel.digest, why)
            values = {"state": FAILED, "ended_at": now, "problem": why}
            connection.execute(_waiting(parcel).values({**values, "attempts": parcel.attempts + 1}))
            data = {"channel": parcel.channel, "target": shown, "why": why}
            self._tell_off(connection, off, data, now)

    def _tell_off(
        self, connection: Connection, off: Sequence[Rule], data: dict[str, Any], now: float
    ) -> None:
        """By the other rules of the same keys, and of the service."""
        gone = {rule.id for rule in off}
        others = [rule for rule in self.rules.active() if rule.id not in gone]
        rows = {}
        for rule in off:
            told = Happened(f"off:{rule.id}:{now:.0f}", "off", now, rule.owner, data)
            for other in others:
                if other.owner in ("", rule.owner):
                    rows[told.event, other.channel, other.digest] = self._row(told, other)
        self._insert(connection, rows)

    def latest(self, rule: Rule, most: int = 5) -> list[dict[str, Any]]:
        """What became of the newest notices to a rule's target."""
        same = (notices.c.channel == rule.channel) & (notices.c.digest == rule.digest)
        query = select(notices).where(same).order_by(notices.c.created_at.desc()).limit(most)
        with self.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def tidy(self) -> None:
        """Forget what ended long ago."""
        old = (notices.c.state != WAITING) & (notices.c.created_at < self.clock() - KEPT_S)
        with self.database.write() as connection:
            connection.execute(delete(notices).where(old))

    def _insert(self, connection: Connection, rows: dict[Any, dict[str, Any]]) -> None:
        if rows:
            ordered = [rows[name] for name in sorted(rows)]
            connection.execute(ADD[connection.dialect.name], ordered)

    def _row(self, told: Happened, rule: Rule) -> dict[str, Any]:
        name = f"{told.event} {rule.channel} {rule.digest}"
        return {
            "id": hashlib.sha256(name.encode()).hexdigest()[:32], "event": told.event,
            "kind": told.kind, "channel": rule.channel, "digest": rule.digest,
            "data": {**self.clean(told.data), "at": told.at}, "state": WAITING, "attempts": 0,
            "due": self.clock(), "created_at": self.clock(), "ended_at": None, "problem": None,
        }  # fmt: skip

    def _mine(self, row: Any, now: float) -> bool:
        """Whether this one was first."""
        same = (notices.c.id == row.id) & (notices.c.state == WAITING) & (notices.c.due == row.due)
        with self.database.write() as connection:
            taken = update(notices).where(same).values(due=now + HELD_S)
            return bool(connection.execute(taken).rowcount)

    def _parcel(self, row: Any, targets: dict[tuple[str, str], Target]) -> Parcel:
        data = dict(row.data)
        notice = worded(row.id, row.kind, float(data.pop("at")), data, self.site)
        target = targets.get((row.channel, row.digest))
        return Parcel(notice, row.channel, row.digest, row.attempts, target)

    def _end(self, change: Update, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(change.values(ended_at=self.clock(), **values))


def _any(parcel: Parcel) -> Update:
    return update(notices).where(notices.c.id == parcel.notice.id)


def _waiting(parcel: Parcel) -> Update:
    """Where it waits still."""
    return _any(parcel).where(notices.c.state == WAITING)
