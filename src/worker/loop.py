"""The worker's loop: hold the device, claim a job, run it under a heartbeat, publish it by one commit."""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from src.core.durable import write_whole
from src.core.errors import CancelledError, NewsreelError
from src.core.progress import CancelToken, Progress
from src.jobs.leases import LeaseStore
from src.jobs.model import Job
from src.jobs.store import LostLeaseError
from src.worker.makers import Maker, Watch
from src.worker.names import artifact_name, preview_file, remove_attempt
from src.worker.process import identity

BEATS = 4  # heartbeats in the time of a lease
LOOK_S = 0.1  # the wish to stop is looked for so often: well within a step
REPORT_S = 0.25  # progress is written at most so often


@dataclass
class Worker:
    """Takes jobs one after the other.

    folder: where finished files go. device: what it computes on, such as "host/cpu"; one worker holds it. name: of
    this worker in the store. preload: the mode that the maker loads before the first job. once: stop when the queue is
    empty, for tests.
    """

    leases: LeaseStore
    maker: Maker
    folder: Path
    device: str
    name: str = field(default_factory=lambda: f"worker-{os.getpid()}-{time.time_ns() % 10**9}")
    info: dict[str, Any] = field(default_factory=dict)
    preload: str | None = None
    poll_s: float = 0.5
    once: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    parent: int | None = None
    _held: float = -math.inf

    def run(self) -> None:
        """Work until `stopping` is set: then the running job may end, unless `hurry` is set too, which gives it back.

        parent: the process that started this one and watches it; when it is gone, the worker stops after its job.
        """
        try:
            self._loop()
        finally:
            self.leases.worker_gone(self.name)

    def _loop(self) -> None:
        warm: str | None = None
        while not self.stopping.is_set() and self.parent in (None, os.getppid()):
            job = self._next(warm)
            if job is None:
                if self.once:
                    return
                self.stopping.wait(self.poll_s)
                continue
            self._work(job)
            warm = job.group

    def _next(self, warm: str | None) -> Job | None:
        """Keep the device and claim; None while another worker has it or nothing waits."""
        if not self._hold() or not self._loaded():
            return None
        try:
            return self.leases.claim(self.name, self.device, warm)
        except LostLeaseError:
            self._held = -math.inf
            return None

    def _hold(self) -> bool:
        """Take the device, or renew it when a quarter of the lease has passed."""
        if time.monotonic() - self._held < self.leases.lease_s / BEATS:
            return True
        held = self.leases.hold_device(self.device, self.name, identity(), self.info | {"preload": self.preload})
        self._held = time.monotonic() if held else -math.inf
        return held

    def _loaded(self) -> bool:
        """Load what is to be warm, once the device is ours, and tell; False where we were asked to stop meanwhile."""
        if self.info.get("warm") != self.preload:
            with self._renewing():
                self.maker.warm(str(self.preload))
            self.info = self.info | {"warm": self.preload}
            self._held = -math.inf
            logger.info("mode {} is loaded; taking jobs", self.preload)
            return self._hold() and not self.stopping.is_set()
        return True

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """A thread that keeps the device while a model is loaded, which may take longer than a lease."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self.leases.lease_s / BEATS / 2):
                self._hold()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _work(self, job: Job) -> None:
        path = self.folder / artifact_name(job)
        with logger.contextualize(job=job.id):
            try:
                with self._beating(job) as cancel:
                    result = self.maker.make(job, path, Watch(_Reporter(self.leases, job), cancel, self._shows(job)))
                self.leases.complete(job, path.name, result)
                logger.info("job {} completed: {}", job.id, path.name)
            except LostLeaseError as error:
                remove_attempt(path)
                logger.warning("{}; its file was removed", error)
            except CancelledError:
                remove_attempt(path)
                self._stopped(job)
            except Exception as error:
                remove_attempt(path)
                self._failed(job, error)

    @contextmanager
    def _beating(self, job: Job) -> Iterator[CancelToken]:
        """A thread that renews the leases and hears of cancellation while the job runs."""
        cancel, over = CancelToken(), threading.Event()
        beat = threading.Thread(target=self._beat, args=(job, cancel, over), daemon=True)
        beat.start()
        try:
            yield cancel
        finally:
            over.set()
            beat.join()

    def _beat(self, job: Job, cancel: CancelToken, over: threading.Event) -> None:
        renewed = time.monotonic()
        while not over.wait(min(LOOK_S, self.leases.lease_s / BEATS)):
            if self.hurry.is_set():
                cancel.cancel()
            try:
                if self._asked_to_stop(job, renewed):
                    cancel.cancel()
                if time.monotonic() - renewed > self.leases.lease_s / BEATS:
                    renewed = time.monotonic()
                self._hold()
            except LostLeaseError:
                cancel.cancel()
                return

    def _asked_to_stop(self, job: Job, renewed: float) -> bool:
        """Reads the flag often, and renews the lease now and then."""
        if time.monotonic() - renewed > self.leases.lease_s / BEATS:
            return self.leases.heartbeat(job)
        return self.leases.is_cancelled(job)

    def _stopped(self, job: Job) -> None:
        """The run was interrupted: by the client, by our own end, or because the lease is somebody else's."""
        with suppress(LostLeaseError):
            if self.leases.is_cancelled(job):
                self.leases.cancelled(job)
                logger.info("job {} cancelled", job.id)
            else:
                self.leases.give_back(job)
                logger.info("job {} given back to the queue", job.id)

    def _failed(self, job: Job, error: Exception) -> None:
        expected = isinstance(error, NewsreelError)
        detail = str(error) if expected else "the service has a bug, or its machine a problem; the log has the details"
        status = error.http_status if expected else 500
        if expected:
            logger.error("job {}: {}", job.id, error)
        else:
            logger.exception("job {} failed", job.id)
        self.maker.release()
        with suppress(LostLeaseError):
            self.leases.fail(job, {"type": type(error).__name__, "detail": detail, "status": status})

    def _shows(self, job: Job) -> Any:
        def show(picture: bytes) -> None:
            path = preview_file(self.folder, job)
            write_whole(path, picture, synced=False)
            self.leases.preview(job, path.name)

        return show


class _Reporter:
    """A listener that writes progress at most every quarter of a second, and each stage's last step."""

    def __init__(self, leases: LeaseStore, job: Job) -> None:
        self.leases, self.job, self._last = leases, job, time.monotonic()

    def __call__(self, report: Progress) -> None:
        last_of_stage = report.done == report.total
        if last_of_stage or time.monotonic() - self._last > REPORT_S:
            self._last = time.monotonic()
            self.leases.progress(self.job, report.stage, report.done, report.total)
