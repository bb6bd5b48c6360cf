"""How long a worker waits for an artifact store that is away: until it is to stop."""

import time
from collections.abc import Callable

from loguru import logger

from src.artifacts.store import StoreAwayError
from src.worker.pulse import WAITING, Pulse

AGAIN_S = 1.0


class WorkerPatience:
    """The `Patience` of a worker's store. over: whether the work is to stop; the worker sets it
    once there is one.
    """

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.over: Callable[[], bool] = lambda: False

    def __call__(self, error: StoreAwayError, waited: float) -> bool:
        if self.over():
            return False
        if self.pulse.stage != WAITING:
            logger.warning("waiting: {}", error)
        self.pulse.beat(WAITING)
        time.sleep(AGAIN_S)
        return True
