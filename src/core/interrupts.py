"""The signals that ask a process to stop, and interrupts that a library would lose.

Where Ctrl-C comes while a tensor is made of a file, torch's C++ drops the KeyboardInterrupt and
says that a storage has no shape; diffusers then says that the file does not load.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a system sends before it kills."""


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """An error out of the body after a signal whose handler raised KeyboardInterrupt there is that
    KeyboardInterrupt. For loading alone, where a true error at that moment says no more.

    Outside the main thread, where no handler runs, nothing is different.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in STOPS}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, _noting(handler, came))
    try:
        yield
    except Exception:
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)


def _noting(handler: Callable[..., Any], came: list[int]) -> Callable[..., None]:
    """The handler, whose KeyboardInterrupt is written down as it passes."""

    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt:
            came.append(number)
            raise

    return note
