"""How long a worker waits: at its start for a database that is away, for a store until it is to
stop.
"""

import time
from collections.abc import Callable

from loguru import logger

from src.artifacts.store import StoreAwayError
from src.core.errors import OutputError
from src.database.database import Database
from src.worker.pulse import WAITING, Pulse

AGAIN_S = 1.0


def wait_for(database: Database, patience_s: float, pulse: Pulse) -> None:
    """Open the database and bring it up to this version, waiting for a server that is away. Raises
    OutputError where it stays away for longer, and at once for a file that cannot be opened.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            database.migrate()
            break
        except OutputError as error:
            trouble = database.trouble
            is_away = trouble is not None and trouble.kind == "away" and not database.is_sqlite
            if not is_away or time.monotonic() > deadline:
                raise
            if pulse.stage != WAITING:
                logger.warning("waiting for up to {:.0f} s: {}", patience_s, error)
        pulse.beat(WAITING)
        time.sleep(AGAIN_S)
    pulse.beat("start")


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
