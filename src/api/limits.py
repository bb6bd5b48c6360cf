"""How much a key may ask for: rates, its share of the queue, and what is kept free for breaking
news.
"""

import threading
import time
from collections import defaultdict, deque

from src.accounts.accounts import OPEN, Account
from src.api.problems import ApiError
from src.api.settings import ServiceSettings
from src.core.files import free_bytes
from src.core.paths import home
from src.jobs import turns
from src.jobs.model import Job
from src.jobs.store import JobStore

DAY_S = 86400.0
MINUTE_S = 60.0
LOOK_S = 1.0
BREAKING = 2
LATER = {"Retry-After": "30"}


class SubmissionLimits:
    """Counts of this process; what waits is looked up every second, and what is submitted meanwhile
    is added.
    """

    def __init__(self, settings: ServiceSettings, store: JobStore) -> None:
        self.settings, self.store = settings, store
        self._recent: dict[str, deque[float]] = defaultdict(deque)
        self._checked: dict[str, deque[float]] = defaultdict(deque)
        self._waiting: dict[tuple[str, int], int] = {}
        self._looked = -LOOK_S
        self._lock = threading.Lock()

    def admit(self, account: Account, priority: int) -> None:
        """May this account submit now? Asked, and counted, before an upload is kept: what is
        refused leaves nothing.

        Raises ApiError 403, 429 or 507.
        """
        if priority >= BREAKING and not account.breaking:
            raise ApiError(
                403,
                "this key may not submit breaking news; ask for priority urgent, or for the right",
            )
        self._check_disk()
        self._check_queue(account, priority)
        self._count(account)

    def admit_check(self, account: Account) -> None:
        """May this account have a file verified now? Counted beside its submissions, by the same
        number a minute. Raises ApiError 429 or 507.
        """
        self._check_disk()
        now = time.time()
        with self._lock:
            times = self._checked[account.id]
            while times and times[0] < now - MINUTE_S:
                times.popleft()
            if len(times) >= account.per_minute:
                raise ApiError(
                    429,
                    f"this key may have {account.per_minute} files verified a minute",
                    {"Retry-After": "20"},
                )
            times.append(now)

    def _check_disk(self) -> None:
        free = free_bytes(home())
        if free < self.settings.min_free:
            raise ApiError(
                507, f"only {free // 10**6} MB of disk are free; new jobs wait until there is more"
            )

    def stored(self, job: Job) -> None:
        """A job was added to the queue."""
        with self._lock:
            line = job.owner, job.priority
            self._waiting[line] = self._waiting.get(line, 0) + 1

    def _check_queue(self, account: Account, priority: int) -> None:
        """The whole queue, less what is kept for breaking news; then the key's share of it."""
        waiting, most = self._look(), self.settings.max_queue
        room = most if priority >= BREAKING else most - self.settings.reserved
        if sum(waiting.values()) >= room:
            raise ApiError(429, f"{room} jobs wait already; try again later", LATER)
        share = self.settings.share_of_a_key
        mine = sum(count for (owner, _), count in waiting.items() if owner == account.id)
        if account.id != OPEN and mine >= share:
            raise ApiError(
                429,
                f"{share} jobs of this key wait already, its share of the queue; try later",
                LATER,
            )

    def _look(self) -> dict[tuple[str, int], int]:
        with self._lock:
            if time.monotonic() - self._looked > LOOK_S:
                with self.store.database.read() as connection:
                    self._waiting = turns.waiting(connection)
                self._looked = time.monotonic()
            return self._waiting.copy()

    def _count(self, account: Account) -> None:
        """Rate and quota of one key, over the last minute and day."""
        now = time.time()
        with self._lock:
            times = self._recent[account.id]
            if not times:
                times.extend(
                    [now - DAY_S / 2] * self.store.submitted_since(account.id, now - DAY_S)
                )
            while times and times[0] < now - DAY_S:
                times.popleft()
            if len(times) >= account.per_day:
                raise ApiError(
                    429,
                    f"this key may submit {account.per_day} jobs a day",
                    {"Retry-After": "3600"},
                )
            if _within(times, now - 60, account.per_minute):
                raise ApiError(
                    429,
                    f"this key may submit {account.per_minute} jobs a minute",
                    {"Retry-After": "20"},
                )
            times.append(now)


def _within(times: deque[float], since: float, limit: int) -> bool:
    """Whether `limit` of the times, in order, lie after `since`."""
    return len(times) >= limit and (limit == 0 or times[-limit] > since)
