"""The workers' side of the store: leases on jobs and devices, with fencing tokens.

A lease is a token and a time. Whoever reports with an older token, or after the job was given to
somebody else, is refused: a worker that froze past its lease cannot publish when it wakes.
Publication is the commit in `complete`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from src.core.addresses import StoredFile, clip_key
from src.core.kinds import KINDS
from src.database.database import Clock, Database
from src.database.tables import jobs, workers
from src.jobs import company, holding, outcomes, turns
from src.jobs.choice import next_job
from src.jobs.errors import LostLeaseError
from src.jobs.model import Job, State
from src.jobs.rows import COLUMNS, as_job, record

LEASE_S = 60.0


class LeaseStore:
    """Claims, heartbeats and outcomes. lease_s: how long a silent worker keeps what it has. clock:
    None for the one that all who share the database go by.
    """

    def __init__(
        self, database: Database, clock: Clock | None = None, lease_s: float = LEASE_S
    ) -> None:
        self.database, self.clock, self.lease_s = database, clock, lease_s

    def _now(self, connection: Connection) -> float:
        return self.clock() if self.clock else self.database.now(connection)

    def hold_device(
        self, device: str, worker: str, process: str, info: dict[str, Any],
        beside: Sequence[str] = (),
    ) -> bool:  # fmt: skip
        """Take or keep the device, and those beside it that make clips with it: all of them, or
        none; False while another worker has one.
        """
        try:
            with self.database.write() as connection:
                for each in sorted({device, *beside}):  # in one order, so that none waits in a ring
                    holding.hold(connection, each, worker, self._now(connection), self.lease_s)
                now = self._now(connection)
                holding.write_worker(connection, worker, process, device, info, now)
        except holding.TakenDeviceError:
            return False
        return True

    def claim(
        self,
        worker: str,
        device: str,
        warm: str | None = None,
        kinds: Sequence[str] = KINDS,
        gpus: int = 1,
    ) -> Job | None:
        """The next job of these kinds for this worker, which must hold the device; None where none
        waits. gpus: devices that it holds; a job for more of them is not for it.

        Owners take turns (src/jobs/turns.py). warm: the group whose model is loaded. A job of that
        group is taken first if its turn is at most two minutes after the next one's, so that
        breaking news never waits for company.
        """
        while True:
            chosen = self._look(worker, device, warm, kinds, gpus)
            if chosen is None:
                return None
            with self.database.write() as connection:
                holding.check_held(connection, worker, device, self._now(connection))
                taken = chosen or next_job(connection, warm, kinds, gpus)
                job = None if taken is None else self._take(connection, worker, taken, gpus)
            if job is not None or taken is None:
                return job

    def waiting_company(self, job: Job, most: int) -> list[Job]:
        """At most `most` waiting jobs that could share the forwards of `job`, as far as requests
        tell.
        """
        with self.database.read() as connection:
            return company.waiting_company(connection, job, most, self._now(connection))

    def claim_also(self, worker: str, device: str, chosen: Sequence[Job]) -> list[Job]:
        """Those of the chosen jobs that wait still, now this worker's, which must hold the
        device.
        """
        if not chosen:
            return []
        with self.database.write() as connection:
            holding.check_held(connection, worker, device, self._now(connection))
            free = company.free(connection, chosen)
            taken = [self._take(connection, worker, job.id, job.gpus) for job in free]
        return [job for job in taken if job is not None]

    def _look(
        self, worker: str, device: str, warm: str | None, kinds: Sequence[str], gpus: int
    ) -> str | None:
        """Who is next; "" where that is to be asked while the row is held.

        SQLite has one lock for all, and to look among thousands of jobs would keep others from
        submitting. PostgreSQL skips the rows that other workers hold: there they do not choose the
        same one.
        """
        if not self.database.is_sqlite:
            return ""
        with self.database.read() as connection:
            holding.check_held(connection, worker, device, self._now(connection))
            return next_job(connection, warm, kinds, gpus)

    def _take(self, connection: Connection, worker: str, chosen: str, gpus: int) -> Job | None:
        """Give the job to the worker; None where it does not wait any more, or is for more devices
        than that.
        """
        now = self._now(connection)
        values = {
            "state": State.PROCESSING, "worker": worker, "lease_expires": now + self.lease_s,
            "token": jobs.c.token + 1, "attempts": jobs.c.attempts + 1, "started_at": now,
            "stage": None, "done": 0, "total": 0,
        }  # fmt: skip
        still = (jobs.c.id == chosen) & (jobs.c.gpus <= gpus)
        change = update(jobs).where(still, turns.WAITING).values(values)
        row = connection.execute(change.returning(*COLUMNS)).one_or_none()
        if row is None:
            return None
        job = as_job(row)
        record(connection, chosen, now, "state", {"state": State.PROCESSING, "worker": worker})
        turns.take(connection, job.owner, job.priority, now)
        return job

    def heartbeat(self, job: Job) -> bool:
        """Renew the lease; returns whether the job is to stop. Raises LostLeaseError."""
        with self.database.write() as connection:
            self._mine(connection, job, lease_expires=self._now(connection) + self.lease_s)
            query = select(jobs.c.cancel_requested).where(jobs.c.id == job.id)
            return bool(connection.execute(query).scalar_one())

    def is_cancelled(self, job: Job) -> bool:
        """Whether the job is to stop; reads only. Raises LostLeaseError."""
        query = select(jobs.c.cancel_requested, jobs.c.token, jobs.c.state).where(
            jobs.c.id == job.id
        )
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (row.token, row.state) != (job.token, State.PROCESSING):
            raise LostLeaseError(
                f"job {job.id}: the lease with token {job.token} is not valid any more"
            )
        return bool(row.cancel_requested)

    def progress(self, job: Job, stage: str, done: int, total: int) -> None:
        """Where the job is. Raises LostLeaseError."""
        with self.database.write() as connection:
            now = self._now(connection)
            self._mine(
                connection,
                job,
                stage=stage,
                done=done,
                total=total,
                lease_expires=now + self.lease_s,
            )
            record(
                connection, job.id, now, "progress", {"stage": stage, "done": done, "total": total}
            )

    def preview(self, job: Job, name: str) -> None:
        """Tell that the preview picture called `name` is new."""
        with self.database.write() as connection:
            self._mine(connection, job, lease_expires=self._now(connection) + self.lease_s)
            record(connection, job.id, self._now(connection), "preview", {"picture": name})

    def complete(
        self, job: Job, artifact: str, result: dict[str, Any], files: Sequence[StoredFile] = ()
    ) -> None:
        """Publish: from this commit on the artifact is the job's. Raises LostLeaseError; nothing is
        published then.

        files: the clip and what lies beside it, as measured; the clip alone where none is told.
        """
        made = files or (StoredFile(clip_key(artifact)),)
        self._end(job, State.COMPLETED, made, artifact=artifact, result=result)

    def fail(self, job: Job, error: dict[str, Any]) -> None:
        """End with a reason."""
        self._end(job, State.FAILED, error=error)

    def cancelled(self, job: Job) -> None:
        """End as the client wished."""
        self._end(job, State.CANCELLED)

    def give_back(self, job: Job) -> None:
        """Back into the queue without counting the attempt: the worker is told to stop."""
        with self.database.write() as connection:
            self._mine(
                connection,
                job,
                state=State.PENDING,
                worker=None,
                lease_expires=None,
                attempts=job.attempts - 1,
            )
            record(connection, job.id, self._now(connection), "state", {"state": State.PENDING})

    def _end(self, job: Job, state: State, made: Sequence[StoredFile] = (), **values: Any) -> None:
        with self.database.write() as connection:
            now = self._now(connection)
            self._mine(
                connection,
                job,
                state=state,
                finished_at=now,
                worker=None,
                lease_expires=None,
                **values,
            )
            data = {"state": state, **outcomes.event_data(values)}
            record(connection, job.id, now, "state", data)
            if made:
                outcomes.add_files(connection, job, made, now)
                outcomes.register_marks(connection, job, values, now)

    def _mine(self, connection: Connection, job: Job, **values: Any) -> None:
        """Change the job if the lease of `job` is the last one given."""
        held = (
            (jobs.c.id == job.id) & (jobs.c.token == job.token) & (jobs.c.state == State.PROCESSING)
        )
        if not connection.execute(update(jobs).where(held).values(values)).rowcount:
            raise LostLeaseError(
                f"job {job.id}: the lease with token {job.token} is not valid any more"
            )

    def expire(self) -> list[str]:
        """Put jobs whose lease has run out back into the queue; returns their ids. Forgets workers
        that were silent for a day, and the devices they had.
        """
        with self.database.write() as connection:
            holding.forget_silent(connection, self._now(connection))
        return self._recover(lambda now: jobs.c.lease_expires < now, "its worker fell silent")

    def worker_gone(self, worker: str) -> list[str]:
        """The same at once for a worker that is known to be dead; frees its device too."""
        recovered = self._recover(lambda _: jobs.c.worker == worker, "its worker died")
        with self.database.write() as connection:
            holding.forget_worker(connection, worker)
        return recovered

    def _recover(self, which: Callable[[float], ColumnElement[bool]], why: str) -> list[str]:
        """which: of the jobs that run, given the time. They are held while they are looked at: a
        lease that is renewed, or a job that is cancelled, a moment earlier is seen.
        """
        with self.database.write() as connection:
            now = self._now(connection)
            query = select(*COLUMNS).where(jobs.c.state == State.PROCESSING, which(now))
            query = query.order_by(jobs.c.id).with_for_update()
            rows = [as_job(row) for row in connection.execute(query)]
            for job in rows:
                outcomes.put_back(connection, job, why, now)
        return [job.id for job in rows]

    def known_workers(self) -> list[dict[str, Any]]:
        """Workers as they last reported: worker, process, device, info, seen_at, and silent_s, how
        long ago that was.
        """
        with self.database.read() as connection:
            rows, now = connection.execute(select(workers)).all(), self._now(connection)
        return [dict(row._mapping) | {"silent_s": now - row.seen_at} for row in rows]
