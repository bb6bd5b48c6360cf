"""The queue as it looks ahead: places and expected times, reckoned at most once a second."""

import threading
import time

from src.jobs.forecast import Forecast, forecasts
from src.jobs.leases import LeaseStore
from src.jobs.model import Job

SAME_S = 1.0


class Outlook:
    """lease_s: who told nothing for so long takes no jobs."""

    def __init__(self, leases: LeaseStore, lease_s: float) -> None:
        self.leases, self.lease_s = leases, lease_s
        self._found: dict[str, Forecast] = {}
        self._looked = -SAME_S
        self._lock = threading.Lock()

    def of(self, job: Job) -> Forecast | None:
        """The forecast of a job that waits or runs; None for others, and for one that came just
        now.
        """
        return None if job.state.final else self._look().get(job.id)

    def _look(self) -> dict[str, Forecast]:
        with self._lock:
            if time.monotonic() - self._looked > SAME_S:
                self._found = self._reckon()
                self._looked = time.monotonic()
            return self._found

    def _reckon(self) -> dict[str, Forecast]:
        now = time.time()
        told = [worker["seen_at"] for worker in self.leases.known_workers()]
        workers = sum(seen > now - self.lease_s for seen in told)
        with self.leases.database.read() as connection:
            return forecasts(connection, now, workers)
