"""What a worker runs a job with: the engine, or the fake that stands for it where speed and crashes
are tested.
"""

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from src.core.durable import write_whole
from src.core.errors import BadInputError
from src.core.progress import CancelToken, Listener, Progress
from src.jobs.model import Job

Picture = Callable[[bytes], None]
GREY = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI"
    "////////////////////////////////////////////////"
    "////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/E"
    "ABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)
"""A JPEG of one grey pixel."""


@dataclass(frozen=True)
class RunContext:
    """Who watches a run: progress, pictures (JPEG bytes), and the wish to stop."""

    listener: Listener
    cancel: CancelToken
    picture: Picture


class JobRunner(Protocol):
    """Makes a job's file."""

    def warm(self, what: str) -> None:
        """Load what jobs of mode `what` need, before the first one comes."""
        ...

    def make(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        """Write the finished file (and its manifest beside it) at `path`; returns the result's
        JSON.

        Raises errors of the tree; CancelledError where the watch's cancel was heard. Nothing is
        left then.
        """
        ...

    def company(self, job: Job, waiting: Sequence[Job]) -> list[Job]:
        """Those of the waiting jobs, in order, whose clips fit into one forward with this one's.
        Raises errors of the tree.
        """
        ...

    def share(self, jobs: Sequence[Job], listener: Listener, cancel: CancelToken) -> None:
        """Denoise the jobs' clips together; each is made after it by `make`, which finds what was
        computed. Raises as `make` does; then each is made by itself.
        """
        ...

    def release(self) -> None:
        """Give memory back after lack of it."""
        ...

    def trouble(self) -> str | None:
        """What keeps a plain request from running now, such as weights that were removed; None for
        nothing. Fast.
        """
        ...


class FakeRunner:
    """Writes a few bytes in `seconds`, in steps that report and can be cancelled. A stand-in for
    tests and load.

    The request may say {"fake_steps": 10, "fake_seconds": 0.5, "fake_error": "boom", "fake_hang":
    60}. clip: a video of which each job gets a copy, for whoever looks at pages. A run that takes
    time shows a picture; one that hangs says nothing for so long, in its
    first attempt, and heeds no wish to stop.
    """

    def __init__(self, seconds: float = 0.0, clip: Path | None = None) -> None:
        self.seconds, self.clip = seconds, clip
        self._shared: set[str] = set()

    def warm(self, what: str) -> None:
        """Nothing to load."""

    def release(self) -> None:
        """Nothing to free."""

    def trouble(self) -> str | None:
        """Nothing is needed."""

    def company(self, job: Job, waiting: Sequence[Job]) -> list[Job]:
        """All fit."""
        return list(waiting)

    def share(self, jobs: Sequence[Job], listener: Listener, cancel: CancelToken) -> None:
        """Takes the time of one job; their `make` takes none then."""
        first = jobs[0].request
        watch = RunContext(listener, cancel, lambda _: None)
        self._compute(int(first.get("fake_steps", 4)), self._seconds(first), watch)
        self._shared |= {job.id for job in jobs}

    def make(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        begin = time.perf_counter()
        steps = int(job.request.get("fake_steps", 4))
        time.sleep(float(job.request.get("fake_hang", 0.0)) if job.attempts == 1 else 0.0)
        seconds = 0.0 if job.id in self._shared else self._seconds(job.request)
        self._shared.discard(job.id)
        self._compute(steps, seconds, watch)
        if "fake_error" in job.request:
            raise BadInputError(job.request["fake_error"])
        write_whole(path, self.clip.read_bytes() if self.clip else f"clip of {job.id}".encode())
        write_whole(path.with_suffix(".json"), b"{}")
        spent = {"denoise": time.perf_counter() - begin}
        return {
            "report": {"score": 1.0, "accepted": True}, "frames": steps, "seconds": spent,
            "seed": job.request.get("seed", 0),
        }  # fmt: skip

    def _seconds(self, request: dict[str, Any]) -> float:
        return float(request.get("fake_seconds", self.seconds))

    @staticmethod
    def _compute(steps: int, seconds: float, watch: RunContext) -> None:
        if seconds:
            watch.picture(GREY)
        for step in range(steps):
            watch.cancel.check()
            time.sleep(seconds / steps)
            watch.listener(Progress("denoise", step + 1, steps))
