"""The durable jobs: what clients see and ask for. Workers' side: src/jobs/leases.py."""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from src.core.addresses import StoredFile, is_stored, known_key, name_in
from src.database import artifact_rows
from src.database.database import Clock, Database, batches
from src.database.group_commit import GroupCommit
from src.database.horizon import Horizon
from src.database.tables import artifacts, events, jobs, releases
from src.jobs import references
from src.jobs.errors import UnknownJobError, WrongStateError
from src.jobs.lineage import lineage
from src.jobs.model import PARENT, Event, Job, NewJob, State
from src.jobs.rows import COLUMNS, address_in, as_job, record
from src.jobs.search import JobFilter, Owner, first_id, is_among, searched_text
from src.jobs.turns import AGEING_S
from src.journal.entries import SERVICE, Act, append, digest, digest_of

FINAL = [state for state in State if state.final]
_HELD = {
    "submitted": "the clip of job {} waits for approval; take it back, or let it be decided, first",
    "approved": "the clip of job {} is approved for release; take it back first",
    "released": "the clip of job {} is released; withdraw it first",
}
"""Why a clip is not deleted, by the state of its release."""


def _submitted(row: dict[str, Any]) -> Act:
    """The audit log's entry of a new job: hashes of what was asked, and of why a photograph is used
    whose rights forbid it; whether the limits of a model's licence were accepted. The words
    themselves are in the request, which goes with the job.
    """
    data = {"kind": row["kind"], "request_sha256": digest_of(row["request"])}
    if why := row["request"].get("rights_reason"):
        data["rights_reason_sha256"] = digest(why)
    if row["request"].get("accept_licence"):
        named = ("upscaler", "refine") if row["kind"] == "upscale" else ("model", "upscale")
        told = {name: str(row["request"][name]) for name in named if row["request"].get(name)}
        data |= {"accept_licence": True, "model": str(row["request"].get("model"))} | told
    return Act(row["owner"], "job.submit", row["id"], data)


def _by_key(row: dict[str, Any]) -> tuple[str, str]:
    """One order for all: replicas that are sent the same ones do not wait for each other in a
    ring.
    """
    return row["owner"], row["idempotency_key"] or ""


@dataclass(frozen=True)
class _Submission:
    """A new job's row, and that of the photograph or upload which was kept for it."""

    job: dict[str, Any]
    reads: dict[str, Any] | None


def _reads(new: NewJob, now: float) -> dict[str, Any] | None:
    address = address_in(new.request)
    if not address or not is_stored(address) or (key := known_key(address)) is None:
        return None
    return artifact_rows.row(StoredFile(key, new.input_bytes), now)


class JobStore:
    """Submissions, queries, cancellation. Every change of state writes its event in the same
    transaction.
    """

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self.database, self.clock = database, clock
        self._new, self._horizon = GroupCommit(self._insert), Horizon(database)

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Store a job; returns it, and False where its idempotency key was there before. Raises
        WrongStateError where the job whose clip it reads was deleted.
        """
        now, address = self.clock(), address_in(new.request)
        before = lineage(self.database, new.request)
        values: dict[str, Any] = {
            "id": f"{int(now * 1000):011x}{secrets.token_hex(5)}", "kind": new.kind,
            "owner": new.owner, "state": State.PENDING, "request": new.request, "group": new.group,
            "priority": new.priority, "rank": now - AGEING_S * new.priority, "created_at": now,
            "attempts": 0, "max_attempts": new.max_attempts, "token": 0, "cancel_requested": False,
            "done": 0, "total": 0, "idempotency_key": new.idempotency_key, "pinned": False,
            "parent": new.request.get(PARENT), "source": name_in(address) if address else None,
            "cost": new.cost, "traceparent": new.traceparent, "words": searched_text(new.request),
            "makers": list(before.makers), "labelled": before.labelled,
            "draft": before.draft,
            "gpus": int(new.request.get("gpus") or 1),
        }  # fmt: skip
        try:
            self._store(_Submission(values, _reads(new, now)))
        except IntegrityError:
            return self._first_with(new), False
        shown: dict[str, Any] = {column.name: values.get(column.name) for column in COLUMNS}
        return Job(**shown), True

    def _store(self, submission: "_Submission") -> None:
        """Together with what other threads submit; alone where it, or another one of them, was
        there before, or reads a clip that is gone.
        """
        try:
            self._new.add(submission)
        except (IntegrityError, WrongStateError):
            self._insert(lambda: [submission])

    def _insert(self, waiting: Callable[[], Sequence["_Submission"]]) -> None:
        """Jobs, their first events, and the rows of what they read, in one transaction: those that
        wait when it holds the lock.
        """
        first = {"kind": "state", "data": {"state": State.PENDING}}
        with self.database.write() as connection:
            submissions = waiting()
            rows = [each.job for each in submissions]
            references.hold_sources(connection, {row["parent"] for row in rows if row["parent"]})
            connection.execute(insert(jobs), sorted(rows, key=_by_key))
            connection.execute(
                insert(events),
                [first | {"job_id": row["id"], "at": row["created_at"]} for row in rows],
            )
            artifact_rows.add_artifacts(
                connection, [each.reads for each in submissions if each.reads]
            )
            append(connection, [_submitted(row) for row in rows])

    def _first_with(self, new: NewJob) -> Job:
        """The job that this idempotency key made. Raises WrongStateError where it asked for
        something else.
        """
        job = self.with_key(new.owner, str(new.idempotency_key))
        if job is None or (job.kind, job.request) != (new.kind, new.request):
            raise WrongStateError(
                f"idempotency key {new.idempotency_key!r} was used for another request"
            )
        return job

    def with_key(self, owner: str, key: str) -> Job | None:
        """The owner's job that this idempotency key made, if there is one."""
        where = (jobs.c.owner == owner) & (jobs.c.idempotency_key == key)
        with self.database.read() as connection:
            row = connection.execute(select(*COLUMNS).where(where)).one_or_none()
        return as_job(row) if row else None

    def get(self, job_id: str, owner: Owner = None) -> Job:
        """The job. owner: whose jobs are looked at. Raises UnknownJobError."""
        with self.database.read() as connection:
            row = connection.execute(select(*COLUMNS).where(jobs.c.id == job_id)).one_or_none()
        if row is None or not is_among(owner, row.owner):
            raise UnknownJobError(f"there is no job {job_id[:40]!r}")
        return as_job(row)

    def page(
        self,
        owner: Owner = None,
        state: State | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """Newest first; before: the last id of the page before."""
        return self.find(JobFilter(owner, state, before), limit)

    def find(self, wanted: JobFilter, limit: int = 50, oldest_first: bool = False) -> list[Job]:
        """Those that are wanted, newest first unless told otherwise."""
        order = jobs.c.id.asc() if oldest_first else jobs.c.id.desc()
        query = select(*COLUMNS).where(*wanted.conditions()).order_by(order).limit(limit)
        with self.database.read() as connection:
            return [as_job(row) for row in connection.execute(query)]

    def many(self, ids: Collection[str]) -> dict[str, Job]:
        """Those of these jobs that there are, by id."""
        found: dict[str, Job] = {}
        for some in batches(sorted(ids)):
            with self.database.read() as connection:
                rows = connection.execute(select(*COLUMNS).where(jobs.c.id.in_(some)))
                found |= {row.id: as_job(row) for row in rows}
        return found

    def finished_before(self, time: float, limit: int = 500) -> list[Job]:
        """Jobs that ended before this time, oldest first, but those that are pinned or released."""
        # ids begin with the time of submission, which is before the end: the index on them finds
        # the old ones
        old = (jobs.c.id < first_id(time)) & (jobs.c.finished_at < time) & jobs.c.pinned.is_(False)
        query = select(*COLUMNS).where(old, jobs.c.state.in_(FINAL), ~references.RELEASED)
        with self.database.read() as connection:
            return [
                as_job(row) for row in connection.execute(query.order_by(jobs.c.id).limit(limit))
            ]

    def cancel(self, job_id: str, owner: Owner = None) -> Job:
        """A waiting job ends at once; a running one is asked to stop. Final ones raise
        WrongStateError.
        """
        now = self.clock()
        self.get(job_id, owner)
        waits = jobs.c.state == State.PENDING  # of one and the same look: it may begin, or wait
        change = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(references.UNDER_WAY))
        change = change.values(
            cancel_requested=True,
            state=case((waits, State.CANCELLED), else_=jobs.c.state),
            finished_at=case((waits, now), else_=jobs.c.finished_at),
        )
        with self.database.write() as connection:
            state = connection.execute(change.returning(jobs.c.state)).scalar()
            if state == State.CANCELLED:
                record(connection, job_id, now, "state", {"state": State.CANCELLED})
        if state is None:
            raise WrongStateError(
                f"job {job_id} is {self.get(job_id).state} already; only waiting and running jobs "
                "stop"
            )
        return self.get(job_id)

    def retry(self, job_id: str, owner: Owner = None) -> Job:
        """Put a FAILED or CANCELLED job back into the queue, with all its attempts. Raises
        WrongStateError for others, and where the job whose clip it reads was deleted.
        """
        now, job = self.clock(), self.get(job_id, owner)
        again = {
            "state": State.PENDING, "rank": now - AGEING_S * job.priority, "attempts": 0,
            "error": None, "cancel_requested": False, "finished_at": None, "started_at": None,
            "stage": None, "done": 0, "total": 0,
        }  # fmt: skip
        where = (jobs.c.id == job_id) & jobs.c.state.in_((State.FAILED, State.CANCELLED))
        with self.database.write() as connection:
            references.hold_sources(connection, [job.parent] if job.parent else [])
            if not connection.execute(update(jobs).where(where).values(again)).rowcount:
                raise WrongStateError(
                    f"job {job_id} is {job.state}; only FAILED and CANCELLED jobs are retried"
                )
            record(connection, job_id, now, "state", {"state": State.PENDING})
        return self.get(job_id)

    def delete(
        self, job_id: str, owner: Owner = None, seen: Job | None = None, by: str = SERVICE
    ) -> Job:
        """Forget a finished job and its events; returns what it was, so that its files can go too.

        seen: as who found it old saw it; one that was pinned, ran again or was out since then is
        spared. by: the key that wants it, for the audit log. Raises WrongStateError, also while
        another job is to enlarge its clip, and while its clip is released or under approval.
        """
        job = self.get(job_id, owner)
        with self.database.write() as connection:
            if (state := references.under_release(connection, job_id, self.clock())) is not None:
                raise WrongStateError(_HELD[state].format(job_id))
            if (needing := references.held_by(connection, job_id)) is not None:
                raise WrongStateError(
                    f"job {job_id} is being enlarged by job {needing}; cancel that one first"
                )
            told = {"sha256": references.clip_hash(connection, job)}
            done = delete(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(FINAL))
            if seen is not None:
                same = jobs.c.finished_at == seen.finished_at
                done = done.where(jobs.c.pinned.is_(False), same, ~references.RELEASED)
            if not connection.execute(done).rowcount:
                raise WrongStateError(f"job {job_id} is {job.state}; cancel it first")
            connection.execute(delete(events).where(events.c.job_id == job_id))
            connection.execute(delete(artifacts).where(artifacts.c.job == job_id))
            drafts = (releases.c.job == job_id) & (releases.c.state == "draft")
            connection.execute(delete(releases).where(drafts))
            append(connection, [Act(by, "job.delete", job_id, told)])
        return job

    def pin(self, job_id: str, pinned: bool, owner: Owner = None) -> Job:
        """Keep the job's artifact from retention, or give it free."""
        self.get(job_id, owner)
        with self.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(pinned=pinned))
            connection.execute(
                update(artifacts).where(artifacts.c.job == job_id).values(pinned=pinned)
            )
        return self.get(job_id)

    def events(self, job_id: str | None, after: int = 0, limit: int = 500) -> Sequence[Event]:
        """What happened after event `after`, oldest first; of one job, or of all. Who goes on after
        the last one misses none: of one job they are written one after the other.
        """
        query = select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
        if job_id is not None:
            query = query.where(events.c.job_id == job_id)
        else:
            query = query.where(events.c.id <= self._horizon.upto())
        with self.database.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def events_of(self, owner: Owner, after: int, upto: int, limit: int = 500) -> Sequence[Event]:
        """What happened to these owners' jobs after event `after`, up to event `upto`."""
        mine = JobFilter(owner).conditions()
        query = select(events).join(jobs, jobs.c.id == events.c.job_id).where(*mine)
        query = (
            query.where(events.c.id > after, events.c.id <= upto).order_by(events.c.id).limit(limit)
        )
        with self.database.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def last_event(self) -> int:
        """The number of the newest event; 0 where there is none. None comes later with a lower
        one.
        """
        return self._horizon.upto()

    def counts(self) -> dict[str, int]:
        """How many jobs wait and run (finished ones are not counted: they may be many)."""
        query = select(jobs.c.state, func.count()).where(
            jobs.c.state.in_((State.PENDING, State.PROCESSING))
        )
        with self.database.read() as connection:
            found = {
                state: count for state, count in connection.execute(query.group_by(jobs.c.state))
            }
        return {state: found.get(state, 0) for state in (State.PENDING, State.PROCESSING)}

    def waiting_by_kind(self) -> dict[str, int]:
        """How many jobs wait, by kind; kinds of which none waits are left out."""
        query = select(jobs.c.kind, func.count()).where(jobs.c.state == State.PENDING)
        with self.database.read() as connection:
            return {kind: count for kind, count in connection.execute(query.group_by(jobs.c.kind))}

    def oldest_waiting(self) -> dict[int, float]:
        """Seconds that the longest-waiting job of each priority has waited; empty for an empty
        queue.
        """
        query = select(jobs.c.priority, func.min(jobs.c.created_at)).group_by(jobs.c.priority)
        with self.database.read() as connection:
            rows = connection.execute(query.where(jobs.c.state == State.PENDING)).all()
        return {priority: max(0.0, self.clock() - first) for priority, first in rows}

    def submitted_since(self, owner: str, since: float) -> int:
        """How many jobs this owner has submitted since that time: what quotas count."""
        query = select(func.count()).where(jobs.c.owner == owner, jobs.c.id >= first_id(since))
        with self.database.read() as connection:
            return connection.execute(query).scalar_one()
