"""Threads of the service that fill the outbox and empty it: one a channel, so that a mail server
that is away keeps nobody else waiting.
"""

import threading
import time
from collections.abc import Callable, Mapping

from loguru import logger

from src.database.trouble import UnavailableError
from src.notices.collecting import Collector
from src.notices.notifier import GoneError, NotDeliveredError, Notifier
from src.notices.outbox import Outbox, Parcel

LOOK_S = 1.0
ENDING_S = 20.0
TIDY = 3600
"""Looks between two clearings."""


class Postman:
    """notifiers: the channels by name."""

    def __init__(
        self, outbox: Outbox, collector: Collector, notifiers: Mapping[str, Notifier]
    ) -> None:
        self.outbox, self.collector, self.notifiers = outbox, collector, notifiers
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._looks = 0

    def start(self) -> None:
        """A thread that collects, and one for each channel; after `stop` again too."""
        self._over.clear()
        for work in (self._collect, *map(self._sender, self.notifiers)):
            thread = threading.Thread(target=self._keep, args=(work,), daemon=True, name="postman")
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """What is being sent ends first, if all of it does within `ENDING_S`; what does not is sent
        again later.
        """
        self._over.set()
        deadline = time.monotonic() + ENDING_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()

    def _keep(self, work: Callable[[], None]) -> None:
        while not self._over.wait(LOOK_S):
            try:
                work()
            except UnavailableError as error:
                logger.warning("notices wait: {}", error)
            except Exception:
                logger.exception("notices failed; they go on in {:.0f} s", LOOK_S)

    def _collect(self) -> None:
        self.collector.collect()
        self._looks += 1
        if self._looks % TIDY == 0:
            self.outbox.tidy()

    def _sender(self, channel: str) -> Callable[[], None]:
        return lambda: self.deliver(channel)

    def deliver(self, channel: str) -> None:
        """Send what is due by a channel."""
        while parcels := self.outbox.take(channel, most=1):
            self._send(self.notifiers[channel], parcels[0])
            if self._over.is_set():
                return

    def _send(self, notifier: Notifier, parcel: Parcel) -> None:
        if parcel.target is None:
            self.outbox.dropped(parcel)
            return
        told = f"notice {parcel.notice.id} by {parcel.channel}"
        try:
            notifier.send(parcel.notice, parcel.target)
        except GoneError as error:
            logger.warning("{}: {}; its rules are switched off", told, error)
            self.outbox.gone(parcel, error, notifier.shown(parcel.target.address))
        except NotDeliveredError as error:
            again = self.outbox.not_sent(parcel, error)
            logger.warning("{}: {}; {}", told, error, "again later" if again else "given up")
        except UnavailableError:
            raise
        except Exception as error:  # a fault of ours is an attempt, or it would go on for ever
            self.outbox.not_sent(parcel, NotDeliveredError(f"a fault: {type(error).__name__}"))
            logger.exception("{} failed", told)
        else:
            self.outbox.sent(parcel)
            logger.info("{} is sent", told)
