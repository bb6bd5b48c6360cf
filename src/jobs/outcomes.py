"""How an attempt ends, as rows: files and marks of what was published, and jobs whose worker is
gone. `LeaseStore` opens the transactions.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from src.core.addresses import StoredFile, clip_key, known_key
from src.core.register import Registered
from src.database import artifact_rows, mark_rows
from src.database.tables import jobs
from src.jobs.model import Job, State
from src.jobs.rows import address_in, record


def event_data(values: dict[str, Any]) -> dict[str, Any]:
    """What of an outcome goes into its event."""
    return {name: values[name] for name in ("artifact", "error") if name in values}


def add_files(connection: Connection, job: Job, made: Sequence[StoredFile], now: float) -> None:
    """Rows of the job's files; it may have been pinned since it was claimed."""
    pinned = connection.execute(select(jobs.c.pinned).where(jobs.c.id == job.id)).scalar_one()
    told = {"job": job.id, "parent": known_key(address_in(job.request)), "pinned": pinned}
    artifact_rows.add_artifacts(connection, [artifact_rows.row(file, now, **told) for file in made])


def register_marks(connection: Connection, job: Job, values: dict[str, Any], now: float) -> None:
    """What the run says of its watermark and fingerprint, where it has any."""
    told = (values.get("result") or {}).get("registered")
    if told:
        entry = Registered(**told | {"artifact": clip_key(values["artifact"]), "job": job.id})
        mark_rows.add_mark(connection, entry, now)


def put_back(connection: Connection, job: Job, why: str, now: float) -> None:
    """PENDING again; CANCELLED where that was asked for; FAILED after the last attempt."""
    values: dict[str, Any] = {
        "worker": None,
        "lease_expires": None,
        "stage": None,
        "state": State.PENDING,
    }
    if job.cancel_requested:
        values |= {"state": State.CANCELLED, "finished_at": now}
    elif job.attempts >= job.max_attempts:
        reason = {
            "type": "WorkerDied",
            "detail": f"{why} in each of {job.attempts} attempts",
            "status": 500,
        }
        values |= {"state": State.FAILED, "finished_at": now, "error": reason}
    same = (jobs.c.id == job.id) & (jobs.c.token == job.token) & (jobs.c.state == State.PROCESSING)
    if connection.execute(update(jobs).where(same).values(values)).rowcount:
        record(connection, job.id, now, "state", {"state": values["state"], "why": why})
