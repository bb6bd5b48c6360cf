"""Whose turn it is: owners take turns within a priority, and who waits ages.

Each owner has a line for each priority. A line's time is that of its first job, or of the line's
last turn where that was later, moved back by the priority's ageing; the line with the earliest time
is next. So a new job of one key waits for one job of each other key, however many these have sent;
breaking news goes before everybody's normal jobs; and who was not served for long goes before
breaking news.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from src.core.kinds import KINDS
from src.database.tables import jobs, turns
from src.jobs.model import State

AGEING_S = 600.0  # one step of priority is worth so much waiting: nothing starves
WAITING = jobs.c.state == State.PENDING


@dataclass(frozen=True)
class Line:
    """The waiting jobs of one owner and priority. at: seconds since the epoch; the earliest is
    next.
    """

    owner: str
    priority: int
    at: float


Conditions = Sequence[ColumnElement[bool]]


def lines(connection: Connection, suited: Conditions = ()) -> list[Line]:
    """Every line with a waiting job that is suited, the next one first."""
    heads = (
        select(jobs.c.owner, jobs.c.priority, func.min(jobs.c.rank).label("rank"))
        .where(WAITING, *suited)
        .group_by(jobs.c.owner, jobs.c.priority)
        .subquery()
    )
    served = (turns.c.owner == heads.c.owner) & (turns.c.priority == heads.c.priority)
    query = select(heads, turns.c.served_at).join_from(heads, turns, served, isouter=True)
    found = [Line(row.owner, row.priority, _time(row)) for row in connection.execute(query)]
    return sorted(found, key=lambda line: (line.at, line.owner))


def _time(row: Any) -> float:
    served = row.rank if row.served_at is None else row.served_at - AGEING_S * row.priority
    return max(row.rank, served)


def suited(connection: Connection, kinds: Sequence[str], gpus: int) -> Conditions:
    """What a job meets that a worker for these kinds, which holds so many devices, may take:
    nothing where all do that wait, which an index answers.
    """
    wide = select(jobs.c.id).where(WAITING, jobs.c.gpus > gpus).limit(1)
    narrow = [jobs.c.gpus <= gpus] if connection.execute(wide).first() is not None else []
    return narrow if set(kinds) == set(KINDS) else [*narrow, jobs.c.kind.in_(sorted(kinds))]


def first_job(
    connection: Connection, line: Line, lock: bool, suited: Conditions = ()
) -> str | None:
    """The id of a line's first job that is suited and that no other worker is taking. lock: as
    PostgreSQL does.
    """
    mine = (jobs.c.owner == line.owner) & (jobs.c.priority == line.priority)
    query = select(jobs.c.id).where(WAITING, mine, *suited).order_by(jobs.c.rank).limit(1)
    return connection.execute(query.with_for_update(skip_locked=True) if lock else query).scalar()


def take(connection: Connection, owner: str, priority: int, at: float) -> None:
    """Note that the line had its turn."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"owner": owner, "priority": priority, "served_at": at}
    change = {"index_elements": ["owner", "priority"], "set_": {"served_at": at}}
    connection.execute(insert(turns).values(values).on_conflict_do_update(**change))


def waiting(connection: Connection) -> dict[tuple[str, int], int]:
    """How many jobs wait in each line, by owner and priority."""
    query = select(jobs.c.owner, jobs.c.priority, func.count()).where(WAITING)
    rows = connection.execute(query.group_by(jobs.c.owner, jobs.c.priority))
    return {(owner, priority): count for owner, priority, count in rows}
