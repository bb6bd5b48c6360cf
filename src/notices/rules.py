"""Rules: which key wants to hear of what, and where."""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, select, update

from src.core.errors import BadInputError, MissingFileError
from src.database.database import Clock, Database
from src.database.locks import RULES, take_lock
from src.database.tables import events, facts, notice_rules

KINDS = ("done", "failed", "approval", "decided", "stuck")
MOST = 20
"""Rules of one key."""
CURSOR = "notices"
API, SETTINGS = "api", "settings"


@dataclass(frozen=True)
class Rule:
    """owner: the key whose jobs are meant; "" for everybody's. why: it was switched off; None while
    it is active. created_at: seconds since the epoch; the time at which it was switched on again,
    where it was.
    """

    id: str
    owner: str
    events: tuple[str, ...]
    channel: str
    target: str
    digest: str
    secret: str | None
    source: str
    active: bool
    why: str | None
    created_at: float

    def wants(self, kind: str, owner: str, at: float) -> bool:
        """Whether it is to be told of this, which happened then to that key's job: not of what
        was before it.
        """
        return kind in self.events and self.owner in ("", owner) and at >= self.created_at


def target_digest(target: str) -> str:
    """By which rows name a target without holding it."""
    return hashlib.sha256(target.encode()).hexdigest()


class Rules:
    """The rules of a service."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self.database, self.clock = database, clock

    def add(
        self, owner: str, kinds: Sequence[str], channel: str, target: str, secret: str | None = None
    ) -> Rule:
        """A new rule. Raises BadInputError for kinds that there are not, and beyond MOST."""
        rule = Rule(secrets.token_hex(8), owner, checked_kinds(kinds, owner), channel, target,
                    target_digest(target), secret, API, True, None, self.clock())  # fmt: skip
        with self.database.write() as connection:
            take_lock(connection, RULES)
            own = select(func.count()).where(notice_rules.c.owner == owner)
            if connection.execute(own).scalar_one() >= MOST:
                raise BadInputError(f"a key may have {MOST} rules for notices; remove one first")
            self._begin(connection)
            connection.execute(insert(notice_rules).values(_row(rule)))
        return rule

    def of(self, owner: str | None) -> list[Rule]:
        """Rules of this owner, or of all where None, oldest first."""
        query = select(notice_rules).order_by(notice_rules.c.created_at)
        with self.database.read() as connection:
            rows = connection.execute(
                query if owner is None else query.where(notice_rules.c.owner == owner)
            )
            return [_rule(row) for row in rows]

    def active(self) -> list[Rule]:
        return [rule for rule in self.of(None) if rule.active]

    def remove(self, identity: str, owner: str | None) -> None:
        """Raises MissingFileError for none of this owner's."""
        with self.database.write() as connection:
            self._own(connection, delete(notice_rules), identity, owner)

    def switch_on(self, identity: str, owner: str | None) -> None:
        """After it was switched off: it begins anew. One that is active stays as it is. Raises as
        `remove` does.
        """
        begun = case((notice_rules.c.active, notice_rules.c.created_at), else_=self.clock())
        with self.database.write() as connection:
            take_lock(connection, RULES)
            self._begin(connection)
            change = update(notice_rules).values(active=True, why=None, created_at=begun)
            self._own(connection, change, identity, owner)

    def switch_off(self, connection: Connection, channel: str, digest: str, why: str) -> list[Rule]:
        """Those of this target, which is gone; returns those that were on, as they are now: each
        to one caller.
        """
        same = (notice_rules.c.channel == channel) & (notice_rules.c.digest == digest)
        change = update(notice_rules).where(same, notice_rules.c.active)
        change = change.values(active=False, why=why).returning(notice_rules)
        return [_rule(row) for row in connection.execute(change)]

    def sync(self, wanted: Sequence[Rule]) -> None:
        """The rules of the settings: new ones are added, those that are not there any more go, and
        one that was switched off stays so.
        """
        ids = [rule.id for rule in wanted]
        with self.database.write() as connection:
            take_lock(connection, RULES)
            theirs = notice_rules.c.source == SETTINGS
            connection.execute(delete(notice_rules).where(theirs, notice_rules.c.id.not_in(ids)))
            known = set(connection.execute(select(notice_rules.c.id).where(theirs)).scalars())
            new = [_row(rule) for rule in wanted if rule.id not in known]
            if new:
                self._begin(connection)
                connection.execute(insert(notice_rules), new)

    def _begin(self, connection: Connection) -> None:
        """With the first rule that is active: what was before is not even read. Only for who is
        alone: two would both find none.
        """
        active = select(notice_rules.c.id).where(notice_rules.c.active).limit(1)
        if connection.execute(active).scalar() is None:
            last = connection.execute(select(func.max(events.c.id))).scalar() or 0
            connection.execute(delete(facts).where(facts.c.name == CURSOR))
            connection.execute(insert(facts).values(name=CURSOR, value=str(last)))

    @staticmethod
    def _own(connection: Connection, change: Any, identity: str, owner: str | None) -> None:
        mine = notice_rules.c.id == identity
        if owner is not None:
            mine &= notice_rules.c.owner == owner
        if not connection.execute(change.where(mine)).rowcount:
            raise MissingFileError("there is no such rule for notices")


def checked_kinds(kinds: Sequence[str], owner: str) -> tuple[str, ...]:
    """Raises BadInputError for what there is not, or for the queue where the rule is one key's."""
    named = tuple(kind for kind in KINDS if kind in kinds)
    if not named or set(kinds) - set(named):
        raise BadInputError(f"events must be some of {', '.join(KINDS)}")
    if "stuck" in named and owner:
        raise BadInputError("stuck is about the whole queue: only a rule for all keys may have it")
    return named


def _row(rule: Rule) -> dict[str, Any]:
    return {**vars(rule), "events": list(rule.events)}


def _rule(row: Any) -> Rule:
    return Rule(**{**row._mapping, "events": tuple(row.events)})
