"""The queue as it looks ahead: places and expected times, reckoned at most once a second, and less
often where thousands of jobs wait.
"""

from src.api.recent import Recent
from src.jobs.forecast import Forecast, forecasts
from src.jobs.leases import LeaseStore
from src.jobs.model import Job

SAME_S = 1.0
SHARE = 0.02


class Outlook:
    """lease_s: who told nothing for so long takes no jobs."""

    def __init__(self, leases: LeaseStore, lease_s: float) -> None:
        self.leases, self.lease_s = leases, lease_s
        self._found = Recent(self._reckon, SAME_S, SHARE)

    def of(self, job: Job) -> Forecast | None:
        """The forecast of a job that waits or runs; None for others, and for one that came just
        now. Reads the database: not for the event loop's own thread.
        """
        return None if job.state.final else self._found.get().get(job.id)

    def _reckon(self) -> dict[str, Forecast]:
        silent = [worker["silent_s"] for worker in self.leases.known_workers()]
        workers = sum(seconds < self.lease_s for seconds in silent)
        with self.leases.database.read() as connection:
            return forecasts(connection, self.leases.database.now(connection), workers)
