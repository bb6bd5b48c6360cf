"""Housekeeping: expired leases, leftovers of dead attempts, retention by age and size."""

import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from loguru import logger

from src.api.settings import ServiceSettings
from src.core.paths import examples, home
from src.jobs.leases import LeaseStore
from src.jobs.model import Job, State
from src.jobs.store import JobStore, UnknownJobError, WrongStateError
from src.worker.names import attempts_in, preview_file, remove_attempt, sweep

LEASES_S = 2.0
FILES_S = 60.0
DAY_S = 86400.0
UPLOAD_S = 3600.0  # an upload is there before its job is


class Keeper:
    """A thread of the service."""

    def __init__(self, settings: ServiceSettings, store: JobStore, leases: LeaseStore) -> None:
        self.settings, self.store, self.leases = settings, store, leases
        self._needed: set[str] = set()
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
        """Remove what dead attempts left, what retention does not keep, and uploads that no job names any more."""
        known = self.store.many({job_id for _, job_id, _ in attempts_in(examples())})
        published = {key: job.artifact for key, job in known.items() if job.artifact}
        running = [(job.id, job.token) for job in known.values() if job.state is State.PROCESSING]
        for path in sweep(examples(), published, running):
            logger.info("removed {}, the rest of a dead attempt", path.name)
        self.retain()
        self.drop_uploads()

    def retain(self) -> None:
        """Forget finished jobs beyond `keep_days` or `keep_bytes`, oldest first; pinned ones stay, and so do clips that
        are to be enlarged.
        """
        self._needed = self.store.inputs((State.PENDING, State.PROCESSING))
        if self.settings.keep_days:
            for job in self.store.finished_before(time.time() - self.settings.keep_days * DAY_S):
                self._forget(job)
        if self.settings.keep_bytes and _size_of(examples()) > self.settings.keep_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the newest clips, as many as fit."""
        kept, before = 0, None
        while page := self.store.page(None, State.COMPLETED, before, 500):
            before = page[-1].id
            for job in page:
                size = _size(examples() / str(job.artifact))
                if job.pinned or kept + size <= self.settings.keep_bytes:
                    kept += size
                else:
                    self._forget(job)

    def drop_uploads(self) -> None:
        """Uploaded videos live as long as a job that names them; what a killed process was writing goes."""
        uploads = home() / "uploads"
        late = [path for path in uploads.glob("*") if path.stat().st_mtime < time.time() - UPLOAD_S]
        named = self.store.inputs() if late else set()
        for path in late:
            if str(path) not in named:
                path.unlink(missing_ok=True)
        for path in (*home().glob("previews/.*.partial"), *home().glob("photographs/.*.partial")):
            if path.stat().st_mtime < time.time() - UPLOAD_S:
                path.unlink(missing_ok=True)

    def _forget(self, job: Job) -> None:
        if job.artifact and str(examples() / job.artifact) in self._needed:
            return
        try:
            self.store.delete(job.id, even_pinned=False)
        except (UnknownJobError, WrongStateError):
            return  # deleted, retried or pinned meanwhile
        if job.artifact:
            remove_attempt(examples() / job.artifact)
        preview_file(examples(), job).unlink(missing_ok=True)
        logger.info("job {} is older or larger than what is kept; forgotten", job.id)


def _size(clip: Path) -> int:
    """Bytes of a clip and its manifest."""
    return sum(path.stat().st_size for path in (clip, clip.with_suffix(".json")) if path.is_file())


def _size_of(folder: Path) -> int:
    with os.scandir(folder) if folder.is_dir() else nullcontext(()) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())
