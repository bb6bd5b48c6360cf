"""Housekeeping: expired leases, counting, leftovers of dead attempts, retention by age and size."""

import threading
import time

from loguru import logger

from src.api.forgetting import Forgetter, kept_for
from src.api.settings import ServiceSettings
from src.artifacts.registry import open_store
from src.artifacts.store import ArtifactStore, StoreAwayError
from src.core.addresses import PHOTOGRAPHS, PREVIEWS, RELEASES, UPLOADS, name_of
from src.database.trouble import UnavailableError
from src.jobs import references
from src.jobs.errors import UnknownJobError, WrongStateError
from src.jobs.leases import LeaseStore
from src.jobs.model import Job
from src.jobs.store import FINAL, JobStore
from src.jobs.tally import Tally
from src.worker.leftovers import is_older, quarantine

LEASES_S = 2.0
FILES_S = 60.0
DAY_S = 86400.0
UPLOAD_S = 3600.0  # an upload is there before its job is


class Housekeeper:
    """A thread of the service."""

    def __init__(
        self,
        settings: ServiceSettings,
        store: JobStore,
        leases: LeaseStore,
        files: ArtifactStore | None = None,
    ) -> None:
        self.settings, self.store, self.leases = settings, store, leases
        self.files = files or open_store()
        self.forgetter, self.tally = Forgetter(store, self.files), Tally(store)
        self.index, self.inventory = self.forgetter.index, self.forgetter.inventory
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
                self.tally.count()
                if time.monotonic() - last > FILES_S:
                    self.tidy()
                    last = time.monotonic()
            except (UnavailableError, StoreAwayError) as error:
                logger.warning("housekeeping waits: {}", error)
            except Exception:
                logger.exception("housekeeping failed; it goes on in {} s", LEASES_S)

    def tidy(self) -> None:
        """Remove what dead attempts left and what retention does not keep; put what nobody knows
        into quarantine; give rows to what commands made.
        """
        for key in self.inventory.settle():
            logger.info("removed {}, the rest of a dead attempt", name_of(key))
        self.retain()
        self.sort_uploads()

    def retain(self) -> None:
        """Forget finished jobs beyond `keep_days` or `keep_bytes`, oldest first; pinned ones stay,
        and so do clips that are to be enlarged.
        """
        if self.settings.keep_days:
            for job in self.store.finished_before(time.time() - self.settings.keep_days * DAY_S):
                self._forget(job)
        if self.settings.keep_bytes and self.index.total() > self.settings.keep_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the newest jobs, as many as fit with their clips, photographs and uploads."""
        kept, before, counted = 0, None, set()
        while page := self.store.page(None, None, before, 500):
            before, ids = page[-1].id, [job.id for job in page]
            made, released = self.index.bytes_of_jobs(ids), self.index.released(ids)
            read = self.index.bytes_of({key for job in page if (key := kept_for(job))})
            for job in page:
                key = kept_for(job)
                size = made.get(job.id, 0) + (0 if key in counted else read.get(str(key), 0))
                spared = job.pinned or job.state not in FINAL or job.id in released
                if spared or kept + size <= self.settings.keep_bytes:
                    kept += size
                    counted.add(key)
                else:
                    self._forget(job)

    def sort_uploads(self) -> None:
        """Uploaded videos that no job names go into quarantine; what a killed process was writing
        goes.
        """
        uploads = list(self.files.list(UPLOADS))
        named = (
            references.still_named(self.store.database, map(name_of, uploads)) if uploads else set()
        )
        orphans = [key for key in uploads if name_of(key) not in named and self._is_late(key)]
        quarantine(self.files, orphans)
        self.index.forget(orphans)
        parts = [
            key
            for folder in (UPLOADS, PREVIEWS, PHOTOGRAPHS, RELEASES)
            for key in self.files.unfinished(folder)
        ]
        self.files.delete(*filter(self._is_late, parts))

    def _is_late(self, key: str) -> bool:
        return is_older(self.files, key, UPLOAD_S)

    def _forget(self, job: Job) -> None:
        try:
            self.forgetter.forget(job.id, seen=job)
        except (UnknownJobError, WrongStateError):
            return  # deleted, run again, pinned or to be enlarged meanwhile
        logger.info("job {} is older or larger than what is kept; forgotten", job.id)
