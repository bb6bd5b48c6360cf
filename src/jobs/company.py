"""Jobs that may come along with one that a worker has claimed, to share its forwards."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from src.database.tables import devices, jobs
from src.jobs import turns
from src.jobs.choice import TOGETHER_S
from src.jobs.model import REMIX_OF, Job, State
from src.jobs.rows import COLUMNS, as_job

OWN = {"prompt", "negative_prompt", "template", "set", "input_image", "seed", "fit", "score", "fps",
       "upscale", "filters", "finishers", "rights_reason", "accept_licence",
       REMIX_OF}  # fmt: skip
"""Fields of a request that may differ between clips of one forward; the plans are compared too."""
LOOKED_AT = 64


def shape_of(job: Job) -> str:
    """Equal for jobs whose requests differ only in what clips of one forward may differ in."""
    told = {name: value for name, value in job.request.items() if name not in OWN}
    return json.dumps([job.kind, job.group, told], sort_keys=True)


def waiting_company(connection: Connection, job: Job, most: int, now: float) -> list[Job]:
    """At most `most` waiting jobs of this one's shape, the longest-waiting first. now: by the clock
    that leases go by.

    None overtakes another line's turn by more than two minutes, as with the warm group; none comes
    along that failed a worker before; and every idle worker keeps a job for itself.
    """
    room = min(most, _beyond_idle(connection, job, now))
    if room <= 0:
        return []
    lines = turns.lines(connection)
    until = lines[0].at + TOGETHER_S if lines else 0.0
    due = {(line.owner, line.priority) for line in lines if line.at <= until}
    alike = (jobs.c.group == job.group) & (jobs.c.kind == job.kind) & (jobs.c.attempts == 0)
    query = select(*COLUMNS).where(turns.WAITING, alike).order_by(jobs.c.rank).limit(LOOKED_AT)
    found = [as_job(row) for row in connection.execute(query)]
    return [
        other
        for other in found
        if (other.owner, other.priority) in due and shape_of(other) == shape_of(job)
    ][:room]


def free(connection: Connection, chosen: Sequence[Job]) -> list[Job]:
    """Those that nobody else is taking, now held by us, line by line: who waited for a job or for a
    turn while he holds others could wait in a ring.
    """
    query = select(jobs.c.id).where(turns.WAITING, jobs.c.id.in_([job.id for job in chosen]))
    held = set(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    lines = sorted(chosen, key=lambda job: (job.owner, job.priority))
    return [job for job in lines if job.id in held]


def _beyond_idle(connection: Connection, job: Job, now: float) -> int:
    """How many jobs of this kind wait beyond one for each idle worker, however many devices it
    holds.
    """
    busy = select(jobs.c.worker).where(jobs.c.state == State.PROCESSING, jobs.c.worker.is_not(None))
    lives = (devices.c.expires >= now) & devices.c.worker.not_in(busy)
    idle = select(func.count(devices.c.worker.distinct())).where(lives)
    waiting = select(func.count()).select_from(jobs).where(turns.WAITING, jobs.c.kind == job.kind)
    return connection.execute(waiting).scalar_one() - connection.execute(idle).scalar_one()
