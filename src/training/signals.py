"""A stop that waits for the end of the step: SIGTERM and Ctrl-C raise a flag instead of an
exception.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from src.core.interrupts import STOPS


class StopFlag:
    """While the context lasts, the first signal raises `asked`; a second one acts as it would have
    without us.

    Outside the main thread, where handlers cannot be set, signals stay as they are.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._raise) for number in STOPS}
        return self

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
