"""The worker's loop: hold the device, claim a job, run it under a heartbeat, publish it by one
commit.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from src.artifacts.store import ArtifactStore, StoreAwayError, measured_file
from src.console.tracing import span, stage_spans
from src.core.addresses import StoredFile, manifest_key, name_of
from src.core.errors import CancelledError, NewsreelError
from src.core.kinds import KINDS
from src.database.trouble import UnavailableError
from src.jobs.errors import LostLeaseError
from src.jobs.leases import LeaseStore
from src.jobs.model import Job
from src.worker.attempt import BEATS, Attempt
from src.worker.company import AttemptGroup
from src.worker.gpu import gpu_reading
from src.worker.names import attempt_clip, remove_attempt
from src.worker.process import identity
from src.worker.pulse import WAITING, Pulse
from src.worker.runners import JobRunner

AGAIN_S = 1.0  # after the database could not be used


@dataclass
class Worker:
    """Takes jobs one after the other.

    files: where finished files go. device: what it computes on, such as "host/cpu"; one worker
    holds it. beside: further devices that it holds, for clips that several make together. gpus: how
    many a clip may take, on a CPU processes. name: of this worker in the store. preload: the mode
    that the runner loads before the first job. once: stop when the queue is empty, for tests.
    limit_s: how long a job may run.
    pulse: tells that the work gets on. kinds: of the jobs that it takes. given_back: is told of a
    job that waits again because this worker stops. patience_s: how long it waits for a database
    that is away before it ends. prompts_per_forward: how many jobs may share their forwards.
    """

    leases: LeaseStore
    runner: JobRunner
    files: ArtifactStore
    device: str
    name: str = field(default_factory=lambda: f"worker-{os.getpid()}-{time.time_ns() % 10**9}")
    info: dict[str, Any] = field(default_factory=dict)
    preload: str | None = None
    poll_s: float = 0.5
    once: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    giving_back: threading.Event = field(default_factory=threading.Event)
    parent: int | None = None
    limit_s: float = math.inf
    pulse: Pulse = field(default_factory=Pulse)
    kinds: Sequence[str] = KINDS
    given_back: Callable[[Job], None] = lambda _: None
    patience_s: float = math.inf
    prompts_per_forward: int = 1
    beside: Sequence[str] = ()
    gpus: int = 1
    _held: float = -math.inf
    _running: Attempt | None = None
    _warm: str | None = None
    _away_since: float | None = None

    def run(self) -> None:
        """Work until `stopping` is set: then the running job may end, unless `giving_back` is set
        too: then it goes back into the queue.

        parent: the process that started this one and watches it; when it is gone, the worker stops
        after its job.
        """
        try:
            while self.goes_on() and self._turn():
                pass
        finally:
            self.close()

    def close(self) -> None:
        """Give device and name back; without the database, their leases run out."""
        with suppress(UnavailableError):
            self.leases.worker_gone(self.name)

    def goes_on(self) -> bool:
        """Whether nobody has asked it to stop, and whoever watches it is there still."""
        return not self.stopping.is_set() and self.parent in (None, os.getppid())

    def _turn(self) -> bool:
        """Look for a job once and make it; False where there is none and we stop then."""
        self.pulse.beat("claim")
        try:
            job = self.claim() if self.is_able() else None
        except UnavailableError as error:
            self.wait(error)
            return True
        if job is None:
            self.stopping.wait(0.0 if self.once else self.poll_s)
            return not self.once
        self.work(job)
        return True

    def wait(self, error: UnavailableError) -> None:
        """Until the database may be usable again. Raises the error once it was away for too
        long.
        """
        if self.pulse.stage != WAITING:
            logger.warning("waiting: {}", error)
            self._away_since = time.monotonic()
        self.pulse.beat(WAITING)
        self._held = -math.inf
        if time.monotonic() - (self._away_since or 0.0) > self.patience_s:
            raise error
        self.stopping.wait(AGAIN_S)

    def is_able(self) -> bool:
        """Whether it holds its device and has loaded what is to be warm: takes, renews, loads."""
        return self._hold() and self._loaded()

    def claim(self) -> Job | None:
        """The next job; None where nothing waits, or another worker has the device by now."""
        try:
            return self.leases.claim(self.name, self.device, self._warm, self.kinds, self.gpus)
        except LostLeaseError:
            self._held = -math.inf
            return None

    def _hold(self) -> bool:
        """Take the device, or renew it when a quarter of the lease has passed; tells what is wrong
        with the runner.
        """
        if time.monotonic() - self._held < self.leases.lease_s / BEATS:
            return True
        trouble = self.runner.trouble()
        told = self.info | {"preload": self.preload, "group": self._warm}
        told |= {"gpus": self.gpus, "kinds": list(self.kinds)}
        told |= {"trouble": trouble} if trouble else {}
        told |= {"gpu": gpu} if (gpu := gpu_reading(self.info.get("device", ""))) else {}
        held = self.leases.hold_device(self.device, self.name, identity(), told, self.beside)
        self._held = time.monotonic() if held else -math.inf
        return held

    def _loaded(self) -> bool:
        """Load what is to be warm, once the device is ours, and tell; False where we were asked to
        stop meanwhile.
        """
        if self.info.get("warm") != self.preload:
            self.pulse.beat("load")
            with self._renewing():
                self.runner.warm(str(self.preload))
            self.info = self.info | {"warm": self.preload}
            self._held = -math.inf
            logger.info("mode {} is loaded; taking jobs", self.preload)
            return self._hold() and not self.stopping.is_set()
        return True

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """A thread that keeps the device while a model is loaded, which may take longer than a
        lease.
        """
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self.leases.lease_s / BEATS / 2) and not self.pulse.overdue():
                with suppress(UnavailableError):  # the loop hears of it
                    self._hold()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def work(self, job: Job) -> None:
        """Make a job that was claimed, to its end whatever that is."""
        attempts = [self._attempt(each) for each in (job, *self._company(job))]
        if len(attempts) > 1:
            self._denoise_together(attempts)
        for attempt in attempts:
            if not attempt.ended:
                with logger.contextualize(job=attempt.job.id):
                    self._make(attempt, attempt_clip(attempt.job))
        self._warm = job.group

    def _attempt(self, job: Job) -> Attempt:
        return Attempt(self.leases, job, self.pulse, self._hold, self.giving_back, self.limit_s)

    def _company(self, job: Job) -> list[Job]:
        """Further jobs, claimed, that may share the forwards of this one."""
        if self.prompts_per_forward < 2 or job.attempts > 1:
            return []
        try:
            waiting = self.leases.waiting_company(job, self.prompts_per_forward - 1)
            chosen = self.runner.company(job, waiting) if waiting else []
            return self.leases.claim_also(self.name, self.device, chosen)
        except (NewsreelError, LostLeaseError) as error:  # the job itself says what is wrong
            logger.warning("job {} goes alone: {}", job.id, error)
            return []

    def _denoise_together(self, attempts: list[Attempt]) -> None:
        logger.info("{} jobs share their forwards", len(attempts))
        self._running = attempts[0]
        for attempt in attempts:
            attempt.start()
        AttemptGroup(attempts, self._end_early).denoise(self.runner)
        self._running = None

    def _end_early(self, attempt: Attempt) -> None:
        """It was to stop before its own turn to be made came."""
        attempt.end()
        with logger.contextualize(job=attempt.job.id):
            self._stopped(attempt.job, attempt)

    def _make(self, attempt: Attempt, clip: str) -> None:
        """clip: its key."""
        job, name = attempt.job, name_of(clip)
        self._running = attempt
        try:
            with attempt.watched(self.files) as watch:
                with (
                    span(f"job {job.kind}", job.traceparent, job=job.id, attempt=job.attempts),
                    self.files.making(clip, once=True) as path,
                ):
                    result = self.runner.make(job, path, watch)
                    stage_spans(result.get("seconds") or {})
                made = self._made(clip)
            self._persist(lambda: self.leases.complete(job, name, result, made))
            logger.info("job {} completed: {}", job.id, name)
        except LostLeaseError as error:
            self._remove(clip)
            logger.warning("{}; its file was removed", error)
        except (CancelledError, StoreAwayError):
            self._remove(clip)
            self._stopped(job, attempt)
        except UnavailableError as error:  # we are to stop, and cannot wait longer
            logger.warning("job {} is left to its lease: {}", job.id, error)
        except Exception as error:
            self._remove(clip)
            self._failed(job, error)
        finally:
            self._running = None

    def _remove(self, clip: str) -> None:
        """What the attempt wrote. Housekeeping does it later where the store is away."""
        try:
            remove_attempt(self.files, clip)
        except StoreAwayError as error:
            logger.warning("what is left of {} stays for housekeeping: {}", name_of(clip), error)

    def is_to_stop(self) -> bool:
        """Whether nothing is to be waited for any more: neither for the run of now, nor without
        one.
        """
        running = self._running
        if running is None:
            return self.stopping.is_set()
        return self.giving_back.is_set() or running.cancel.cancelled

    def _made(self, clip: str) -> list[StoredFile]:
        """The clip and its manifest, measured: nothing is published that is not in the store."""
        manifest = manifest_key(clip)
        beside = [measured_file(self.files, manifest)] if self.files.look(manifest) else []
        return [measured_file(self.files, clip), *beside]

    def _persist(self, write: Callable[[], object]) -> None:
        """Write an outcome, waiting for a database that is locked or away. Raises UnavailableError
        when the job is to be given back, LostLeaseError where the job went to somebody else
        meanwhile.
        """
        while True:
            try:
                write()
                return
            except UnavailableError as error:
                if self.giving_back.is_set():
                    raise
                self.wait(error)
                self.giving_back.wait(AGAIN_S)

    def _stopped(self, job: Job, attempt: Attempt) -> None:
        """The run was interrupted: by the clock, the client, our own end, or because the lease is
        somebody else's.
        """
        try:
            attempt.check_time()
        except NewsreelError as error:
            self._failed(job, error)
            return
        with suppress(LostLeaseError, UnavailableError):
            self._persist(lambda: self._end_stopped(job))

    def _end_stopped(self, job: Job) -> None:
        if self.leases.is_cancelled(job):
            self.leases.cancelled(job)
            logger.info("job {} cancelled", job.id)
        else:
            self.leases.give_back(job)
            self.given_back(job)
            logger.info("job {} given back to the queue", job.id)

    def _failed(self, job: Job, error: Exception) -> None:
        expected = isinstance(error, NewsreelError)
        detail = (
            str(error)
            if expected
            else "the service has a bug, or its machine a problem; the log has the details"
        )
        status = error.http_status if expected else 500
        if expected:
            logger.error("job {}: {}", job.id, error)
        else:
            logger.exception("job {} failed", job.id)
        self.runner.release()
        told = {"type": type(error).__name__, "detail": detail, "status": status}
        with suppress(LostLeaseError, UnavailableError):
            self._persist(lambda: self.leases.fail(job, told))
