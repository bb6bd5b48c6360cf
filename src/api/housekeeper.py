"""Housekeeping: expired leases, leftovers of dead attempts, retention by age and size."""

import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from loguru import logger

from src.api.forgetting import Forgetter, stored_file
from src.api.settings import ServiceSettings
from src.core.paths import examples, home
from src.database.trouble import UnavailableError
from src.jobs import references
from src.jobs.leases import LeaseStore
from src.jobs.model import Job
from src.jobs.store import FINAL, JobStore, UnknownJobError, WrongStateError
from src.worker.leftovers import set_aside, sort_out
from src.worker.names import attempts_in

LEASES_S = 2.0
FILES_S = 60.0
DAY_S = 86400.0
UPLOAD_S = 3600.0  # an upload is there before its job is


class Housekeeper:
    """A thread of the service."""

    def __init__(self, settings: ServiceSettings, store: JobStore, leases: LeaseStore) -> None:
        self.settings, self.store, self.leases = settings, store, leases
        self.forgetter = Forgetter(store)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="housekeeper")

    def start(self) -> None:
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
            except UnavailableError as error:
                logger.warning("housekeeping waits: {}", error)
            except Exception:
                logger.exception("housekeeping failed; it goes on in {} s", LEASES_S)

    def tidy(self) -> None:
        """Remove what dead attempts left and what retention does not keep; put what nobody knows
        into quarantine.
        """
        found = attempts_in(examples())  # before the database is asked: what comes later is not judged
        known = self.store.many({attempt.job for attempt in found})
        removed, _ = sort_out(examples(), known, found)
        for path in removed:
            logger.info("removed {}, the rest of a dead attempt", path.name)
        self.retain()
        self.sort_uploads()

    def retain(self) -> None:
        """Forget finished jobs beyond `keep_days` or `keep_bytes`, oldest first; pinned ones stay, and so do clips that
        are to be enlarged.
        """
        if self.settings.keep_days:
            for job in self.store.finished_before(time.time() - self.settings.keep_days * DAY_S):
                self._forget(job)
        if self.settings.keep_bytes and _size_of_home() > self.settings.keep_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the newest jobs, as many as fit with their clips, photographs and uploads."""
        kept, before, counted = 0, None, set()
        while page := self.store.page(None, None, before, 500):
            before = page[-1].id
            for job in page:
                size = _size(job, counted)
                if job.pinned or job.state not in FINAL or kept + size <= self.settings.keep_bytes:
                    kept += size
                    counted.add(job.source)
                else:
                    self._forget(job)

    def sort_uploads(self) -> None:
        """Uploaded videos that no job names go into quarantine; what a killed process was writing
        goes.
        """
        late = [path for path in (home() / "uploads").glob("*") if _is_late(path)]
        parts = {path for path in late if path.suffix == ".partial"}
        named = references.named(self.store.database, [path.name for path in late]) if late else set()
        set_aside([path for path in late if path not in parts and path.name not in named], home())
        for folder in ("previews", "photographs"):
            parts |= {path for path in (home() / folder).glob(".*.partial") if _is_late(path)}
        for path in parts:
            path.unlink(missing_ok=True)

    def _forget(self, job: Job) -> None:
        try:
            self.forgetter.forget(job.id, even_pinned=False)
        except (UnknownJobError, WrongStateError):
            return  # deleted, retried, pinned or to be enlarged meanwhile
        logger.info("job {} is older or larger than what is kept; forgotten", job.id)


def _is_late(path: Path) -> bool:
    return path.lstat().st_mtime < time.time() - UPLOAD_S


def _size(job: Job, counted: set[str | None]) -> int:
    """Bytes that keeping a job takes, its photograph where that was not counted yet."""
    clip = examples() / str(job.artifact)
    files = [clip, clip.with_suffix(".json")] if job.artifact else []
    stored = stored_file(job)
    files += [stored] if stored is not None and job.source not in counted else []
    return sum(path.stat().st_size for path in files if path.is_file())


def _size_of_home() -> int:
    return sum(_size_of(folder) for folder in (examples(), home() / "photographs", home() / "uploads"))


def _size_of(folder: Path) -> int:
    with os.scandir(folder) if folder.is_dir() else nullcontext(()) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())
