"""The workers' side of the store: leases on jobs and devices, with fencing tokens.

A lease is a token and a time. Whoever reports with an older token, or after the job was given to
somebody else, is refused: a worker that froze past its lease cannot publish when it wakes.
Publication is the commit in `complete`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from src.core.addresses import StoredFile, clip_key, known_key
from src.core.kinds import KINDS
from src.core.register import Registered
from src.database import artifact_rows, mark_rows
from src.database.database import Clock, Database
from src.database.tables import devices, jobs, workers
from src.jobs import company, turns
from src.jobs.choice import next_job
from src.jobs.errors import LostLeaseError
from src.jobs.model import Job, State
from src.jobs.rows import COLUMNS, address_in, as_job, record

LEASE_S = 60.0
FORGOTTEN_S = 86400.0
"""A worker that told nothing for so long is not known any more."""


NEW_DEVICE = {
    "sqlite": sqlite.insert(devices).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(devices).on_conflict_do_nothing(),
}


class _TakenError(Exception):
    """Another worker has the device: what was taken in this transaction is given back."""


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
                    self._hold(connection, each, worker)
                self._seen(connection, worker, process, device, info)
        except _TakenError:
            return False
        return True

    def _hold(self, connection: Connection, device: str, worker: str) -> None:
        now = self._now(connection)
        mine = (devices.c.worker == worker) | (devices.c.expires < now)
        values = {"worker": worker, "expires": now + self.lease_s}
        kept = update(devices).where(devices.c.device == device, mine).values(values)
        if connection.execute(kept).rowcount:
            return
        new = NEW_DEVICE[self.database.engine.dialect.name].returning(devices.c.device)
        if connection.execute(new.values(device=device, **values)).first() is None:
            raise _TakenError  # a row that is there is somebody else's

    def _seen(
        self, connection: Connection, worker: str, process: str, device: str, info: dict[str, Any]
    ) -> None:
        values = {
            "process": process,
            "device": device,
            "info": info,
            "seen_at": self._now(connection),
        }
        if not connection.execute(
            update(workers).where(workers.c.worker == worker).values(values)
        ).rowcount:
            connection.execute(insert(workers).values(worker=worker, **values))

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
                self._check_device(connection, worker, device)
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
            self._check_device(connection, worker, device)
            taken = [self._take(connection, worker, job.id, job.gpus) for job in chosen]
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
            self._check_device(connection, worker, device)
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

    def _check_device(self, connection: Connection, worker: str, device: str) -> None:
        row = connection.execute(select(devices).where(devices.c.device == device)).one_or_none()
        if row is None or row.worker != worker or row.expires < self._now(connection):
            raise LostLeaseError(f"worker {worker} does not hold {device} any more")

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
            record(connection, job.id, now, "state", {"state": state, **_event_data(values)})
            if made:
                self._add_rows(connection, job, made, now)
                self._register(connection, job, values, now)

    @staticmethod
    def _add_rows(connection: Connection, job: Job, made: Sequence[StoredFile], now: float) -> None:
        """Of the job's files; it may have been pinned since it was claimed."""
        pinned = connection.execute(select(jobs.c.pinned).where(jobs.c.id == job.id)).scalar_one()
        told = {"job": job.id, "parent": known_key(address_in(job.request)), "pinned": pinned}
        artifact_rows.add_artifacts(
            connection, [artifact_rows.row(file, now, **told) for file in made]
        )

    @staticmethod
    def _register(connection: Connection, job: Job, values: dict[str, Any], now: float) -> None:
        """What the run says of its watermark and fingerprint, where it has any."""
        told = (values.get("result") or {}).get("registered")
        if told:
            entry = Registered(**told | {"artifact": clip_key(values["artifact"]), "job": job.id})
            mark_rows.add_mark(connection, entry, now)

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
        self._forget_silent()
        return self._recover(lambda now: jobs.c.lease_expires < now, "its worker fell silent")

    def _forget_silent(self) -> None:
        """Of a worker that was killed nobody else deletes the row: its name never comes back."""
        with self.database.write() as connection:
            since = self._now(connection) - FORGOTTEN_S
            connection.execute(delete(workers).where(workers.c.seen_at < since))
            connection.execute(delete(devices).where(devices.c.expires < since))

    def worker_gone(self, worker: str) -> list[str]:
        """The same at once for a worker that is known to be dead; frees its device too."""
        recovered = self._recover(lambda _: jobs.c.worker == worker, "its worker died")
        with self.database.write() as connection:
            connection.execute(delete(devices).where(devices.c.worker == worker))
            connection.execute(delete(workers).where(workers.c.worker == worker))
        return recovered

    def _recover(self, which: Callable[[float], ColumnElement[bool]], why: str) -> list[str]:
        """which: of the jobs that run, given the time."""
        with self.database.write() as connection:
            now = self._now(connection)
            query = select(*COLUMNS).where(jobs.c.state == State.PROCESSING, which(now))
            rows = [as_job(row) for row in connection.execute(query)]
            for job in rows:
                self._put_back(connection, job, why, now)
        return [job.id for job in rows]

    def _put_back(self, connection: Connection, job: Job, why: str, now: float) -> None:
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
        same = (
            (jobs.c.id == job.id) & (jobs.c.token == job.token) & (jobs.c.state == State.PROCESSING)
        )
        if connection.execute(update(jobs).where(same).values(values)).rowcount:
            record(connection, job.id, now, "state", {"state": values["state"], "why": why})

    def known_workers(self) -> list[dict[str, Any]]:
        """Workers as they last reported: worker, process, device, info, seen_at, and silent_s, how
        long ago that was.
        """
        with self.database.read() as connection:
            rows, now = connection.execute(select(workers)).all(), self._now(connection)
        return [dict(row._mapping) | {"silent_s": now - row.seen_at} for row in rows]


def _event_data(values: dict[str, Any]) -> dict[str, Any]:
    """What of an outcome goes into its event."""
    return {name: values[name] for name in ("artifact", "error") if name in values}
