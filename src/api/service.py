"""What the routes share: the stores, the settings, and who watches."""

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from anyio import CapacityLimiter
from fastapi import Request
from loguru import logger

from src.api.hub import Hub
from src.api.metrics import Metrics
from src.api.problems import ApiError
from src.api.settings import ServiceSettings
from src.core.files import free_bytes
from src.core.paths import examples, home
from src.jobs.accounts import Account, Accounts, Role
from src.jobs.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import Job, NewJob, State
from src.jobs.store import JobStore
from src.worker.supervise import Supervisor

DAY_S = 86400.0


@dataclass
class Service:
    """One running service."""

    settings: ServiceSettings
    database: Database
    store: JobStore
    leases: LeaseStore
    accounts: Accounts
    hub: Hub
    metrics: Metrics
    supervisor: Supervisor
    started_at: float = field(default_factory=time.time)
    draining: bool = False
    lookout: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))  # health never waits behind uploads
    _recent: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _known: dict[str, tuple[float, Account | None]] = field(default_factory=dict)
    _pending: int = 0
    _looked: float = -1.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """Where finished files lie."""
        return examples()

    def submit(self, new: NewJob, account: Account) -> Job:
        """Store a job that was admitted, or find the one that its idempotency key made."""
        job, fresh = self.store.submit(new)
        if fresh:
            self._pending += 1
            self.metrics.submitted.labels(new.kind).inc()
            logger.info("job {} submitted by {}", job.id, account.name)
        return job

    def admit(self, account: Account) -> None:
        """May this account submit now? Asked, and counted, before an upload is kept: what is refused leaves nothing.

        Raises ApiError 429, 503 or 507.
        """
        self._check_room()
        self._count(account)

    def _check_room(self) -> None:
        if self.draining:
            raise ApiError(503, "the service is stopping; try again in a minute", {"Retry-After": "60"})
        free = free_bytes(home())
        if free < self.settings.min_free:
            raise ApiError(507, f"only {free // 10**6} MB of disk are free; new jobs wait until there is more")
        if self._waiting() >= self.settings.max_queue:
            raise ApiError(429, f"{self.settings.max_queue} jobs wait already; try again later", {"Retry-After": "30"})

    def _waiting(self) -> int:
        """How many jobs wait; looked up every second, and what is submitted meanwhile is added."""
        if time.monotonic() - self._looked > 1.0:
            self._pending, self._looked = self.store.counts()[State.PENDING], time.monotonic()
        return self._pending

    def _count(self, account: Account) -> None:
        """Rate and quota of one key, over the last minute and day."""
        now = time.time()
        with self._lock:
            times = self._recent[account.id]
            if not times:
                times.extend([now - DAY_S / 2] * self.store.submitted_since(account.id, now - DAY_S))
            while times and times[0] < now - DAY_S:
                times.popleft()
            if len(times) >= account.per_day:
                raise ApiError(429, f"this key may submit {account.per_day} jobs a day", {"Retry-After": "3600"})
            if _within(times, now - 60, account.per_minute):
                raise ApiError(429, f"this key may submit {account.per_minute} jobs a minute", {"Retry-After": "20"})
            times.append(now)

    def account_of(self, secret: str) -> Account | None:
        """The account of a key; looked up again after two seconds, so that a revoked key ends soon."""
        known = self._known.get(secret)
        if known is None or time.monotonic() - known[0] > 2.0:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[secret] = (time.monotonic(), self.accounts.find(secret))
        return known[1]

    def visible_to(self, account: Account) -> str | None:
        """The owner whose jobs the account may see; None for all."""
        return None if account.role is Role.ADMIN else account.id


def _within(times: deque[float], since: float, limit: int) -> bool:
    """Whether `limit` of the times, in order, lie after `since`."""
    return len(times) >= limit and (limit == 0 or times[-limit] > since)


async def service_of(request: Request) -> Service:
    """For routes: `service: Annotated[Service, Depends(service_of)]`."""
    return request.app.state.service
