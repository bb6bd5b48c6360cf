"""Proof of life: a worker's heart beats only while its work gets on, and who watches it hears that.

The work says where it is (`Pulse.beat`); each stage has a time in which it must say something
again. The heart is a thread of its own: it writes a byte to the supervisor's pipe now and then, and
falls silent once a stage is overdue, or when the whole process is frozen. Leases in the database
are renewed by the same proof.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from loguru import logger

BEATS = 8  # in the time of a lease
STALLED = 70  # exit code of a worker that ended itself
WAITING = "waiting for the database or the store"
USUAL_S = 900.0
LIMITS = {"start": 1800.0, "load": 1800.0, "claim": 300.0, WAITING: float("inf")}
"""Seconds in which a stage must report something, where they are not USUAL_S: a first step may
compile for minutes, and loading may read twenty gigabytes from a slow disk.
"""


@dataclass
class Pulse:
    """Where the work is, and since when. stall: seconds for the stages of a job in place of their
    own; 0: their own.
    """

    stall: float = 0.0
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)
    stage: str = "start"
    at: float = field(default_factory=time.monotonic)

    def beat(self, stage: str) -> None:
        """The work is in `stage`, and got on just now."""
        self.stage, self.at = stage, time.monotonic()

    def limit(self) -> float:
        """Seconds that the stage of now may be silent."""
        own = self.limits.get(self.stage, USUAL_S)
        return min(own, self.stall) if self.stall and self.stage not in ("start", WAITING) else own

    def overdue(self) -> bool:
        """Whether the stage of now has been silent for longer than it may."""
        return time.monotonic() - self.at > self.limit()


class Heart:
    """A thread that shows the pulse to the supervisor, and ends a worker whose pulse has stopped.

    pipe: the supervisor's end to write to, or None. die: what ends the process.
    """

    def __init__(
        self,
        pulse: Pulse,
        lease_s: float,
        pipe: int | None = None,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        self.pulse, self.every, self.pipe, self.die = pulse, lease_s / BEATS, pipe, die
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heart")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self.pulse.overdue():
            if self.pipe is not None:
                with suppress(
                    BlockingIOError, BrokenPipeError
                ):  # a full pipe tells as much; a broken one: nobody asks
                    os.write(self.pipe, b".")
            if self._over.wait(self.every):
                return
        stage, limit = self.pulse.stage, self.pulse.limit()
        logger.error(
            "stage {} has told nothing for {:.0f} s; this worker is stuck and ends", stage, limit
        )
        self.die(STALLED)
