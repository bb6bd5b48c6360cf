"""Publishes permits that are missing: of jobs whose permit was lost, never published, or used up by
a worker that died.
"""

import threading

from loguru import logger

from src.broker.permits import BrokerPermits
from src.core.kinds import KINDS
from src.database.trouble import UnavailableError
from src.jobs.store import JobStore

EVERY_S = 2.0
AT_ONCE = 200  # permits of a kind in one round; the next one goes on


class PermitReaper:
    """A thread of the service. Two replicas may publish the same permits: one too many does no
    harm.
    """

    def __init__(self, store: JobStore, permits: BrokerPermits, every_s: float = EVERY_S) -> None:
        self.store, self.permits, self.every_s = store, permits, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._reap, daemon=True, name="reaper")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """And publish no more."""
        self._over.set()
        self._thread.join()
        self.permits.stop()

    def _reap(self) -> None:
        while not self._over.wait(self.every_s):
            try:
                self.publish_missing()
            except UnavailableError as error:
                logger.warning("permits wait: {}", error)
            except Exception:
                logger.exception("permits are not looked after; trying again in {} s", self.every_s)

    def publish_missing(self) -> int:
        """As many permits of each kind as jobs of it wait, less those that lie ready; returns how
        many were published.
        """
        waiting = self.store.waiting_by_kind()
        return sum(self._publish(kind, waiting[kind]) for kind in KINDS if waiting.get(kind))

    def _publish(self, kind: str, waiting: int) -> int:
        ready = self.permits.ready(kind)
        missing = 0 if ready is None else min(AT_ONCE, waiting - ready)
        for number in range(missing):
            if self._over.is_set() or not self.permits.publish_now(kind, "missing"):
                return number
        return max(0, missing)
