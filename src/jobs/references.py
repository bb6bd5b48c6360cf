"""Which stored files jobs read, and which clips are to be enlarged: what may not be removed yet."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, exists, select, update

from src.core.addresses import clip_key
from src.database import artifact_rows
from src.database.database import Database, batches
from src.database.tables import artifacts, jobs, releases
from src.jobs.errors import UnknownJobError, WrongStateError
from src.jobs.model import LABELLED, Job, State

UNDER_WAY = (State.PENDING, State.PROCESSING)
RELEASED = exists().where(artifacts.c.job == jobs.c.id, artifacts.c.release.in_(artifact_rows.KEPT))
"""Whether a clip of the job is out, was, or is to be approved: retention leaves it."""


def held_by(connection: Connection, job_id: str) -> str | None:
    """The job under way that enlarges this job's clip, if there is one. None comes after it was
    asked where the job is held, as `settle` does.
    """
    query = select(jobs.c.id).where(jobs.c.parent == job_id, jobs.c.state.in_(UNDER_WAY)).limit(1)
    return connection.execute(query).scalar()


def hold_sources(connection: Connection, ids: Collection[str]) -> None:
    """Nobody deletes these jobs until we commit: what is to be made of their clips finds them.
    Raises WrongStateError for one that is gone.
    """
    wanted = select(jobs.c.id).where(jobs.c.id.in_(ids)).order_by(jobs.c.id)
    held = wanted.with_for_update(read=True, key_share=True)
    if gone := set(ids) - set(connection.execute(held).scalars() if ids else ()):
        raise WrongStateError(f"job {min(gone)} was deleted; there is nothing left of its clip")


def under_release(connection: Connection, job_id: str, now: float) -> str | None:
    """The state of its clip's release, where that holds the clip. Raises as `settle`."""
    settle(connection, job_id, now)
    held = artifacts.c.release.in_(artifact_rows.HELD)
    query = select(artifacts.c.release).where(artifacts.c.job == job_id, held).limit(1)
    return connection.execute(query).scalar()


def settle(connection: Connection, job_id: str, now: float) -> None:
    """Where the embargo of a correction is over, the release of this job whose place it took has
    ended: row and mark on the clip say so from here on. Nobody else changes the release of this
    job, or deletes it, until we commit. Raises UnknownJobError where it is gone.
    """
    held = select(jobs.c.id).where(jobs.c.id == job_id).with_for_update()
    if connection.execute(held).scalar() is None:
        raise UnknownJobError(f"there is no job {job_id[:40]!r}")
    over = (releases.c.job == job_id) & (releases.c.state == artifact_rows.RELEASED)
    over &= releases.c.ended_at <= now
    values = {"state": "superseded", "open_job": None, "revision": releases.c.revision + 1}
    change = update(releases).where(over).values(values)
    change = change.returning(releases.c.key, releases.c.served_key)
    if clips := [key for row in connection.execute(change) for key in row if key]:
        mine = (artifacts.c.job == job_id) & artifacts.c.key.in_(clips)
        connection.execute(update(artifacts).where(mine).values(release="superseded"))


def clip_hash(connection: Connection, job: Job) -> str | None:
    """SHA-256 of its clip, where there is one."""
    if job.artifact is None:
        return None
    query = select(artifacts.c.sha256).where(artifacts.c.key == clip_key(job.artifact))
    return connection.execute(query).scalar()


def enlargement(database: Database, job_id: str) -> str | None:
    """The newest job that enlarges, or enlarged, this job's clip."""
    larger = (jobs.c.parent == job_id) & jobs.c.request[LABELLED].as_string().is_(None)
    query = select(jobs.c.id).where(larger).order_by(jobs.c.id.desc()).limit(1)
    with database.read() as connection:
        return connection.execute(query).scalar()


def still_named(database: Database, sources: Iterable[str]) -> set[str]:
    """Those of these stored files that a job still names."""
    found: set[str] = set()
    with database.read() as connection:
        for some in batches(sorted(sources)):
            query = select(jobs.c.source).where(jobs.c.source.in_(some)).distinct()
            found |= set(connection.execute(query).scalars())
    return found
