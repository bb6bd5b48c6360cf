"""One attempt at a job under watch: leases renewed while it gets on, progress told, the wish to
stop heard.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loguru import logger

from src.artifacts.store import ArtifactStore, StoreAwayError
from src.core.addresses import name_of
from src.core.errors import NewsreelError
from src.core.progress import CancelToken, Progress
from src.database.trouble import UnavailableError
from src.jobs.errors import LostLeaseError
from src.jobs.leases import LeaseStore
from src.jobs.model import Job
from src.worker.names import preview_key
from src.worker.pulse import Pulse
from src.worker.runners import RunContext

BEATS = 4  # heartbeats in the time of a lease
LOOK_S = 0.1  # the wish to stop is looked for so often: well within a step
REPORT_S = 0.25  # progress is written at most so often


class TimeLimitError(NewsreelError):
    """The job took longer than a job may."""


@dataclass
class Attempt:
    """limit_s: how long it may take. hold: renews the device's lease. giving_back: set when the job
    is to be given back. ended: whether its outcome is being written, or is.
    """

    leases: LeaseStore
    job: Job
    pulse: Pulse
    hold: Callable[[], bool]
    giving_back: threading.Event
    limit_s: float
    timed_out: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.cancel, self._begun, self._reported_at = (
            CancelToken(),
            time.monotonic(),
            time.monotonic(),
        )
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    def start(self) -> None:
        """A thread renews the leases from now on, until `end`."""
        if self._heart is None:
            self.pulse.beat("load")
            self._heart = threading.Thread(target=self._beat, args=(self._over,), daemon=True)
            self._heart.start()

    def end(self) -> None:
        """Whatever became of it, its lease is not renewed any more."""
        self.ended = True
        self._over.set()
        if self._heart is not None:
            self._heart.join()

    @contextmanager
    def watched(self, files: ArtifactStore) -> Iterator[RunContext]:
        """What the runner is given, until the attempt ends. files: where pictures go."""
        self.start()
        try:
            yield RunContext(self.report, self.cancel, lambda picture: self._show(files, picture))
        finally:
            self.end()

    def check_time(self) -> None:
        """Raise TimeLimitError where that is why the run was stopped."""
        if self.timed_out:
            raise TimeLimitError(
                f"the job took longer than the {self.limit_s:.0f} s that a job may take; ask for "
                "fewer frames or steps"
            )

    def _beat(self, over: threading.Event) -> None:
        renewed = heard = time.monotonic()
        while not over.wait(min(LOOK_S, self.leases.lease_s / BEATS)):
            self._look_at_the_clock()
            if self.pulse.overdue():
                continue  # a lease is renewed only for who gets on
            try:
                due = time.monotonic() - renewed > self.leases.lease_s / BEATS
                renewed = time.monotonic() if due else renewed
                if self.leases.heartbeat(self.job) if due else self.leases.is_cancelled(self.job):
                    self.cancel.cancel()
                self.hold()
                heard = time.monotonic()
            except LostLeaseError:
                self.cancel.cancel()
                return
            except UnavailableError as error:
                self._is_cut_off(error, time.monotonic() - heard)
                over.wait(1.0)

    def _is_cut_off(self, error: UnavailableError, silent_s: float) -> None:
        """Whoever has not reached PostgreSQL for a lease stops: others take it for dead, and may
        have given its job to somebody else. SQLite is on this machine.
        """
        far = error.kind == "away" and not self.leases.database.is_sqlite
        if far and silent_s > self.leases.lease_s:
            logger.warning("job {} stops: cut off for {:.0f} s; {}", self.job.id, silent_s, error)
            self.cancel.cancel()
        else:
            logger.warning("job {} goes on, but {}", self.job.id, error)

    def _look_at_the_clock(self) -> None:
        if time.monotonic() - self._begun > self.limit_s:
            self.timed_out = True
        if self.timed_out or self.giving_back.is_set():
            self.cancel.cancel()

    def report(self, report: Progress) -> None:
        """Progress is written at most every quarter of a second, and each stage's last step."""
        self.pulse.beat(report.stage)
        if report.done == report.total or time.monotonic() - self._reported_at > REPORT_S:
            self._reported_at = time.monotonic()
            self._tell(
                lambda: self.leases.progress(self.job, report.stage, report.done, report.total)
            )

    def _show(self, files: ArtifactStore, picture: bytes) -> None:
        key = preview_key(self.job)
        try:
            files.put(key, io.BytesIO(picture), durable=False)
        except StoreAwayError as error:
            logger.warning("a picture is not shown: {}", error)
            return
        self._tell(lambda: self.leases.preview(self.job, name_of(key)))

    @staticmethod
    def _tell(write: Callable[[], None]) -> None:
        """What may be lost when the database is locked or away; the run goes on."""
        try:
            write()
        except UnavailableError as error:
            logger.warning("progress is not told: {}", error)
