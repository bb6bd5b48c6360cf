"""The queue as it looks ahead: places and expected times, reckoned at most once a second, and less
often where that takes long.
"""

import math
import threading
import time

from src.jobs.forecast import Forecast, forecasts
from src.jobs.leases import LeaseStore
from src.jobs.model import Job

SAME_S = 1.0
SHARE = 50
"""Reckoning takes at most this part of a thread's time: thousands of jobs that wait take a while."""


class Outlook:
    """lease_s: who told nothing for so long takes no jobs."""

    def __init__(self, leases: LeaseStore, lease_s: float) -> None:
        self.leases, self.lease_s = leases, lease_s
        self._found: dict[str, Forecast] | None = None
        self._until = -math.inf
        self._lock = threading.Lock()

    def of(self, job: Job) -> Forecast | None:
        """The forecast of a job that waits or runs; None for others, and for one that came just
        now. Reads the database: not for the event loop's own thread.
        """
        return None if job.state.final else self._look().get(job.id)

    def _look(self) -> dict[str, Forecast]:
        """Whoever comes while another thread reckons goes by what was found before."""
        if self._lock.acquire(blocking=self._found is None):
            try:
                begin = time.monotonic()
                if begin > self._until:
                    self._found = self._reckon()
                    end = time.monotonic()
                    self._until = end + max(SAME_S, SHARE * (end - begin))
            finally:
                self._lock.release()
        return self._found or {}

    def _reckon(self) -> dict[str, Forecast]:
        now = time.time()
        told = [worker["seen_at"] for worker in self.leases.known_workers()]
        workers = sum(seen > now - self.lease_s for seen in told)
        with self.leases.database.read() as connection:
            return forecasts(connection, now, workers)
