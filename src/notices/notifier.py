"""A channel by which notices are sent: one more is a file beside this one, and its line in
`registry.py`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from src.core.errors import NewsreelError


@dataclass(frozen=True)
class Notice:
    """What is told. id: the same for each attempt, so that who receives it twice can tell. kind:
    done, failed, approval, decided, stuck or off. at: seconds since the epoch. subject, text: plain
    words. link: the clip's page; None where the service knows no address of its own. data: for
    machines.
    """

    id: str
    kind: str
    at: float
    subject: str
    text: str
    link: str | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where it goes. secret: that web hooks are signed with."""

    address: str
    secret: str | None = None


class NotDeliveredError(NewsreelError):
    """It could not be sent now. The message says why, and holds no address and no secret.

    after: seconds that the other side asks to wait; None: as usual.
    """

    http_status = 502

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class GoneError(NotDeliveredError):
    """The target says that it does not exist any more."""


class Notifier(Protocol):
    """One channel."""

    name: str

    def check(self, address: str) -> str:
        """The address as it is kept. Raises BadInputError for what cannot be one, or where this
        service has no such channel.
        """
        ...

    def shown(self, address: str) -> str:
        """The address as answers and logs may have it: without what is secret."""
        ...

    def send(self, notice: Notice, target: Target) -> None:
        """Deliver. Raises NotDeliveredError; GoneError where the target is to be switched off."""
        ...
