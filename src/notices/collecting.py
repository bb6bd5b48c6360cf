"""What is to be told: read from the events, by a durable cursor, and from the queue."""

import time
from collections import deque
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from src.database.tables import events, facts, jobs
from src.notices.outbox import Outbox
from src.notices.rules import CURSOR, Rule
from src.notices.wording import Happened, title_of

KINDS = {
    ("state", "COMPLETED"): "done",
    ("state", "FAILED"): "failed",
    ("approval", "WAITING"): "approval",
    ("approval", "APPROVED"): "decided",
    ("approval", "REJECTED"): "decided",
    ("approval", "RELEASED"): "decided",
    ("approval", "WITHDRAWN"): "decided",
}
"""By an event's kind and the state that it tells."""
LATE_S = 60.0
"""PostgreSQL numbers events before they are committed: a number may appear so long after a larger
one. What was seen less than that ago is looked at again; the outbox knows what it has.
"""
STUCK = "stuck"
NOT_STUCK = {
    name: made.insert(facts).values(name=STUCK, value="").on_conflict_do_nothing()
    for name, made in (("sqlite", sqlite), ("postgresql", postgresql))
}
AT_ONCE = 500


class Collector:
    """Fills the outbox. stuck_s: how long a job may wait before the queue is stuck; 0: for ever."""

    def __init__(self, outbox: Outbox, stuck_s: float, late_s: float = LATE_S) -> None:
        self.outbox, self.stuck_s, self.late_s = outbox, stuck_s, late_s
        self.database = outbox.database
        self._seen: deque[tuple[float, int]] = deque()

    def collect(self) -> None:
        """One look. Several processes may collect at once."""
        rules = self.outbox.rules.active()
        if not rules:
            return
        self._read_events(rules)
        if self.stuck_s:
            self._look_at_the_queue(rules)

    def _read_events(self, rules: list[Rule]) -> None:
        with self.database.read() as connection:
            begin = int(_fact(connection, CURSOR) or 0)
            top = connection.execute(select(func.max(events.c.id))).scalar() or 0
            found = self._since(connection, begin)
        while found:
            with self.database.write() as connection:
                self.outbox.add(connection, [each for _, each in found if each], rules)
            with self.database.read() as connection:
                full = len(found) == AT_ONCE
                found = self._since(connection, found[-1][0]) if full else []
        self._remember(top)
        self._move_on(begin)

    def _since(self, connection: Connection, last: int) -> list[tuple[int, Happened | None]]:
        """Events after this one, by number, with what is told of them."""
        query = (
            select(events, jobs.c.owner, jobs.c.request, jobs.c.kind.label("job_kind"))
            .join(jobs, jobs.c.id == events.c.job_id)
            .where(events.c.id > last, events.c.kind.in_({kind for kind, _ in KINDS}))
        )
        rows = connection.execute(query.order_by(events.c.id).limit(AT_ONCE))
        return [(row.id, _happened(row)) for row in rows]

    def _remember(self, last: int) -> None:
        if not self._seen or self._seen[-1][1] < last:
            self._seen.append((time.monotonic(), last))

    def _move_on(self, begin: int) -> None:
        """The cursor goes to what was seen long enough ago."""
        done = begin
        while self._seen and self._seen[0][0] < time.monotonic() - self.late_s:
            done = max(done, self._seen.popleft()[1])
        if done > begin:
            with self.database.write() as connection:
                same = (facts.c.name == CURSOR) & (facts.c.value == str(begin))
                connection.execute(update(facts).where(same).values(value=str(done)))

    def _look_at_the_queue(self, rules: list[Rule]) -> None:
        """Told once while it lasts: it is over when the longest wait is half of what is too
        much.
        """
        now, pending = self.outbox.clock(), jobs.c.state == "PENDING"
        with self.database.read() as connection:
            query = select(func.min(jobs.c.created_at), func.count()).where(pending)
            first, waiting = connection.execute(query).one()
            known = _fact(connection, STUCK)
        waited = max(0.0, now - first) if first is not None else 0.0
        if waited > self.stuck_s and not known:
            self._tell_stuck(rules, now, {"waited": round(waited), "waiting": waiting})
        elif known and waited < self.stuck_s / 2:
            with self.database.write() as connection:
                self._set_stuck(connection, known, "")

    def _tell_stuck(self, rules: list[Rule], now: float, data: dict[str, Any]) -> None:
        told = Happened(f"{STUCK}:{now:.0f}", STUCK, now, "", data)
        with self.database.write() as connection:
            if self._set_stuck(connection, "", told.event):
                self.outbox.add(connection, [told], rules)

    @staticmethod
    def _set_stuck(connection: Connection, before: str, after: str) -> bool:
        """Whether this process was the one that noted it."""
        connection.execute(NOT_STUCK[connection.dialect.name])
        same = (facts.c.name == STUCK) & (facts.c.value == before)
        return bool(connection.execute(update(facts).where(same).values(value=after)).rowcount)


def _fact(connection: Connection, name: str) -> str | None:
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()


def _happened(row: Any) -> Happened | None:
    """What is told of an event; None for one that nobody is told of."""
    kind = KINDS.get((row.kind, row.data.get("state")))
    if kind is None:
        return None
    error = row.data.get("error") or {}
    data = {"job": row.job_id, "kind": row.job_kind, "title": title_of(row.job_kind, row.request)}
    more = {"artifact": row.data.get("artifact"), "detail": error.get("detail") or
            row.data.get("why"), "error": error.get("type")}  # fmt: skip
    if row.kind == "approval":
        more |= {"release": row.data.get("release"), "state": str(row.data["state"]).lower()}
    told = {name: value for name, value in more.items() if value}
    return Happened(str(row.id), kind, row.at, row.owner, data | told)
