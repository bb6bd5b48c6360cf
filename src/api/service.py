"""What the routes share: the stores, the settings, and who watches."""

import time
from dataclasses import dataclass, field, replace

from anyio import CapacityLimiter
from fastapi import Request
from loguru import logger

from src.accounts.accounts import Account, Accounts
from src.api.broadcaster import EventBroadcaster
from src.api.decoding import DecodingQueue
from src.api.forgetting import Forgetter
from src.api.limits import SubmissionLimits
from src.api.metrics import ServiceMetrics
from src.api.notifying import Notifying
from src.api.origins import Origins
from src.api.outlook import Outlook
from src.api.people import People
from src.api.planning import Planning
from src.api.problems import ApiError
from src.api.progresses import Progresses
from src.api.releasing import Releasing
from src.api.schemas import JobView, view
from src.api.settings import ServiceSettings
from src.api.turns import OneAtATime
from src.artifacts.index import ArtifactIndex
from src.artifacts.store import ArtifactStore
from src.broker.permits import NoPermits, Permits
from src.console.tracing import traceparent
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import Job, NewJob
from src.jobs.store import JobStore
from src.worker.supervise import Supervisor


@dataclass
class Service:
    """One running service. files: where what it keeps and publishes lies."""

    settings: ServiceSettings
    database: Database
    files: ArtifactStore
    store: JobStore
    leases: LeaseStore
    accounts: Accounts
    broadcaster: EventBroadcaster
    metrics: ServiceMetrics
    supervisor: Supervisor
    notifying: Notifying
    releasing: Releasing
    permits: Permits = field(default_factory=NoPermits)
    started_at: float = field(default_factory=time.time)
    draining: bool = False
    decoding: DecodingQueue = field(default_factory=DecodingQueue)
    index: ArtifactIndex = field(init=False)
    forgetter: Forgetter = field(init=False)
    limits: SubmissionLimits = field(init=False)
    planning: Planning = field(init=False)
    origins: Origins = field(init=False)
    people: People = field(init=False)
    outlook: Outlook = field(init=False)
    same: OneAtATime = field(default_factory=OneAtATime)
    progresses: Progresses = field(default_factory=Progresses)
    # health never waits behind uploads
    lookout: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))
    _known: dict[str, tuple[float, Account | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = ArtifactIndex(self.database)
        self.forgetter = Forgetter(self.store, self.files)
        self.limits = SubmissionLimits(self.settings, self.store)
        self.planning = Planning(self.leases, self.settings.max_cost)
        self.people = People(self.accounts)
        self.outlook = Outlook(self.leases, self.settings.lease)
        self.origins = Origins(self.settings.hosts, self.settings.origins, self.settings.auth)

    def submit(self, new: NewJob, account: Account) -> Job:
        """Store a job that was admitted, or find the one that its idempotency key made."""
        job, fresh = self.store.submit(replace(new, traceparent=traceparent()))
        if fresh:
            self.limits.stored(job)
            self.permits.publish(job.kind, job.id)
            logger.info("job {} submitted by {}", job.id, account.name)
        return job

    def retry(self, job_id: str) -> Job:
        """Put a FAILED or CANCELLED job back into the queue. Raises WrongStateError."""
        job = self.store.retry(job_id)
        self.permits.publish(job.kind, job.id)
        return job

    def admit(self, account: Account, priority: int = 0) -> None:
        """May this account submit now? Raises ApiError 403, 429, 503 or 507."""
        self._check_running()
        self.limits.admit(account, priority)

    def admit_check(self, account: Account) -> None:
        """May this account have a file verified now? Raises ApiError 429, 503 or 507."""
        self._check_running()
        self.limits.admit_check(account)

    def _check_running(self) -> None:
        if self.draining:
            raise ApiError(
                503, "the service is stopping; try again in a minute", {"Retry-After": "60"}
            )

    def account_of(self, secret: str) -> Account | None:
        """The account of a key; looked up again after two seconds,
        so that a revoked key ends soon.
        """
        known = self._known.get(secret)
        if known is None or time.monotonic() - known[0] > 2.0:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[secret] = (time.monotonic(), self.accounts.find(secret))
        return known[1]

    def visible_to(self, account: Account) -> frozenset[str] | None:
        """The owners whose jobs the account may see; None for all."""
        return self.people.seen_by(account)

    def seen(self, account: Account, job_id: str) -> Job:
        """A job that the account may look at. Raises UnknownJobError."""
        return self.store.get(job_id, self.visible_to(account))

    def own(self, account: Account, job_id: str) -> Job:
        """A job that the account may change. Raises UnknownJobError, and ApiError 403 for a
        colleague's.
        """
        job = self.seen(account, job_id)
        self.people.check_may_change(account, job)
        return job

    def show(self, job: Job) -> JobView:
        """The job as clients see it, with its owner's name and its place in the queue."""
        return view(job, self.people.name_of(job.owner), self.outlook.of(job))


async def service_of(request: Request) -> Service:
    """For routes: `service: Annotated[Service, Depends(service_of)]`."""
    return request.app.state.service
