"""Which stored files jobs read, and which clips are to be enlarged: what may not be removed yet."""

from collections.abc import Iterable

from sqlalchemy import Connection, exists, select

from src.database import artifact_rows
from src.database.database import Database, batches
from src.database.tables import artifacts, jobs
from src.jobs.model import State

UNDER_WAY = (State.PENDING, State.PROCESSING)
RELEASED = exists().where(
    artifacts.c.job == jobs.c.id, artifacts.c.release == artifact_rows.RELEASED
)
"""Whether a clip of the job is out: retention leaves it."""


def held_by(connection: Connection, job_id: str) -> str | None:
    """The job under way that enlarges this job's clip, if there is one."""
    query = select(jobs.c.id).where(jobs.c.parent == job_id, jobs.c.state.in_(UNDER_WAY)).limit(1)
    return connection.execute(query).scalar()


def enlargement(database: Database, job_id: str) -> str | None:
    """The newest job that enlarges, or enlarged, this job's clip."""
    query = select(jobs.c.id).where(jobs.c.parent == job_id).order_by(jobs.c.id.desc()).limit(1)
    with database.read() as connection:
        return connection.execute(query).scalar()


def named(database: Database, sources: Iterable[str]) -> set[str]:
    """Those of these stored files that a job still names."""
    found: set[str] = set()
    with database.read() as connection:
        for some in batches(sorted(sources)):
            query = select(jobs.c.source).where(jobs.c.source.in_(some)).distinct()
            found |= set(connection.execute(query).scalars())
    return found
