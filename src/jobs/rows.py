"""Rows of the jobs' tables as what they say."""

from typing import Any

from sqlalchemy import Connection, insert

from src.database.tables import events, jobs
from src.jobs.model import Job, State

COLUMNS = [column for column in jobs.columns if column.name not in ("rank", "words")]
"""What a `Job` says."""


def as_job(row: Any) -> Job:
    """A row of the table as a Job."""
    values: dict[str, Any] = dict(row._mapping)
    values["state"] = State(values["state"])
    return Job(**values)


def address_in(request: dict[str, Any]) -> str | None:
    """The address of what a request reads (`src/core/addresses.py`)."""
    return request.get("input_image") or request.get("input")


def record(connection: Connection, job_id: str, at: float, kind: str, data: dict[str, Any]) -> None:
    """Add an event, in the transaction of what it tells."""
    connection.execute(insert(events).values(job_id=job_id, at=at, kind=kind, data=data))
