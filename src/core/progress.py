"""Progress and cancellation: how a long run talks to whoever watches it, and how it is stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from src.core.errors import CancelledError


@dataclass(frozen=True)
class Progress:
    """One report: `done` of `total` units of `stage` (load, encode, denoise, decode, deliver)."""

    stage: str
    done: int
    total: int


Listener = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """The listener of runs that nobody watches."""


class CancelToken:
    """A flag that any thread may raise and the run checks at each step."""

    def __init__(self) -> None:
        self._event = Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise CancelledError once the flag is up."""
        if self.cancelled:
            raise CancelledError("cancelled; nothing was written")
