"""Housekeeping: expired leases, leftovers of dead attempts, retention by age and size."""

import threading
import time
from pathlib import Path

from loguru import logger

from src.api.settings import ServiceSettings
from src.core.paths import examples, home
from src.jobs.leases import LeaseStore
from src.jobs.model import Job, State
from src.jobs.store import JobStore, UnknownJobError, WrongStateError
from src.worker.names import attempts_in, preview_name, remove_attempt, sweep

LEASES_S = 2.0
FILES_S = 60.0


class Keeper:
    """A thread of the service."""

    def __init__(self, settings: ServiceSettings, store: JobStore, leases: LeaseStore) -> None:
        self.settings, self.store, self.leases = settings, store, leases
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="keeper")

    def start(self) -> None:
        self.tidy()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        last = time.monotonic()
        while not self._over.wait(min(LEASES_S, self.settings.lease / 2)):
            try:
                for job in self.leases.expire():
                    logger.warning("job {}: its worker fell silent", job)
                if time.monotonic() - last > FILES_S:
                    self.tidy()
                    last = time.monotonic()
            except Exception:
                logger.exception("housekeeping failed; it goes on in {} s", LEASES_S)

    def tidy(self) -> None:
        """Remove what dead attempts left, then what retention does not keep."""
        known = {job_id: self._job(job_id) for _, job_id, _ in list(attempts_in(examples()))}
        published = {key: job.artifact for key, job in known.items() if job and job.artifact}
        running = [(job.id, job.token) for job in known.values() if job and job.state is State.PROCESSING]
        for path in sweep(examples(), published, running):
            logger.info("removed {}, the rest of a dead attempt", path.name)
        self.retain()

    def _job(self, job_id: str) -> Job | None:
        try:
            return self.store.get(job_id)
        except UnknownJobError:
            return None

    def retain(self) -> None:
        """Forget finished jobs beyond `keep_days` or `keep_bytes`, oldest first; pinned ones stay."""
        oldest = time.time() - self.settings.keep_days * 86400 if self.settings.keep_days else 0.0
        kept = 0
        for job in self._finished():
            size = _size(examples() / job.artifact) if job.artifact else 0
            late = (job.finished_at or 0) < oldest
            full = bool(self.settings.keep_bytes) and kept + size > self.settings.keep_bytes
            if job.pinned or not (late or full):
                kept += size
            else:
                self._forget(job)

    def _finished(self) -> list[Job]:
        """Final jobs, newest first."""
        found: list[Job] = []
        for state in (State.COMPLETED, State.FAILED, State.CANCELLED):
            page, before = self.store.page(None, state, None, 500), None
            while page:
                found += page
                before = page[-1].id
                page = self.store.page(None, state, before, 500)
        return sorted(found, key=lambda job: job.id, reverse=True)

    def _forget(self, job: Job) -> None:
        try:
            self.store.delete(job.id)
        except (UnknownJobError, WrongStateError):
            return  # deleted or retried meanwhile
        if job.artifact:
            remove_attempt(examples() / job.artifact)
        (home() / "previews" / preview_name(job)).unlink(missing_ok=True)
        logger.info("job {} is older or larger than what is kept; forgotten", job.id)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
