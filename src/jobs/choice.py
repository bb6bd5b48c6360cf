"""Which waiting job is next for a worker: by turn, or one that needs what is loaded.

On PostgreSQL the row is locked, and rows that other workers hold are skipped.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from src.database.tables import jobs
from src.jobs import turns

TOGETHER_S = 120.0  # a job of the warm group may overtake others that came so much earlier


def next_job(
    connection: Connection, warm: str | None, kinds: Sequence[str], gpus: int = 1
) -> str | None:
    """The first job of the line whose turn it is, or one of the warm group that is due soon
    after. gpus: devices that the worker holds.
    """
    suited = turns.suited(connection, kinds, gpus)
    waiting, lock = turns.lines(connection, suited), connection.dialect.name != "sqlite"
    if waiting and warm is not None:
        query = _alike(warm, waiting[0].at + TOGETHER_S, suited)
        if alike := _due(connection, query, waiting, lock):
            return alike
    heads = (turns.first_job(connection, line, lock, suited) for line in waiting)
    return next((job for job in heads if job is not None), None)


def _alike(warm: str, until: float, suited: turns.Conditions) -> Select[Any, Any, Any]:
    """The longest-waiting job of the group."""
    query = select(jobs.c.id, jobs.c.owner, jobs.c.priority).order_by(jobs.c.rank).limit(1)
    alike = (jobs.c.group == warm) & (jobs.c.rank <= until)
    return query.where(turns.WAITING, alike, *suited)


def _due(
    connection: Connection, query: Select[Any, Any, Any], waiting: list[turns.Line], lock: bool
) -> str | None:
    """The job that the query finds, where its own turn is at most two minutes after the next
    one's.
    """
    until = waiting[0].at + TOGETHER_S
    due = {(line.owner, line.priority) for line in waiting if line.at <= until}
    found = connection.execute(
        query.with_for_update(skip_locked=True) if lock else query
    ).one_or_none()
    return found.id if found is not None and (found.owner, found.priority) in due else None
