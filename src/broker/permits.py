"""Permits: messages that say "a job of this kind waits". Whoever takes one asks the database what
is next; so a permit that is lost, doubled or late does no harm.

They are published by a thread of their own, after the job's commit: no request waits for a broker.
"""

import queue
import threading
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from src.broker.celery_app import (
    ANSWER_S,
    TASK,
    check_broker,
    make_celery,
    queue_of,
    without_password,
)

if TYPE_CHECKING:
    from amqp import Channel

MOST_WAITING = 1000  # permits in this process; what comes beyond, the reaper publishes
AGAIN_S = 1.0  # after the broker could not be used


class Permits(Protocol):
    """Who tells workers that jobs wait."""

    def publish(self, kind: str, job_id: str) -> None:
        """Tell soon; returns at once and never fails. job_id: for logs alone."""
        ...

    def stop(self) -> None:
        """Tell no more."""
        ...

    @property
    def answers(self) -> bool | None:
        """Whether the broker did when it was last asked; None where there is none."""
        ...


class NoPermits:
    """Where there is no broker: workers look at the database themselves."""

    def publish(self, kind: str, job_id: str) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to stop."""

    @property
    def answers(self) -> None:
        """There is no broker."""


class BrokerPermits:
    """Publishes to the broker at `url`, and looks how many permits lie ready there."""

    def __init__(self, url: str) -> None:
        self.url, self.app = url, make_celery(url, publishing=True)
        self._waiting: queue.Queue[tuple[str, str]] = queue.Queue(MOST_WAITING)
        self._over, self._away = threading.Event(), False
        self._thread = threading.Thread(target=self._publish_all, daemon=True, name="permits")
        self._thread.start()

    def publish(self, kind: str, job_id: str) -> None:
        """As in `Permits`."""
        try:
            self._waiting.put_nowait((kind, job_id))
        except queue.Full:
            return  # the reaper sees what is missing

    def stop(self) -> None:
        """Publish what waits, where the broker is at hand, for at most some seconds."""
        self._over.set()
        self._thread.join(2 * ANSWER_S)

    @property
    def answers(self) -> bool:
        """As in `Permits`; it is asked while jobs wait."""
        return not self._away

    def check(self) -> None:
        """Raises OutputError where the broker cannot be used now."""
        check_broker(self.app, self.url)

    def _publish_all(self) -> None:
        while not (self._over.is_set() and self._waiting.empty()):
            try:
                kind, job_id = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if not self.publish_now(kind, job_id):
                self._forget_all()
                self._over.wait(AGAIN_S)

    def _forget_all(self) -> None:
        """The broker is away: the reaper publishes what is missing once it is back."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                return

    def publish_now(self, kind: str, job_id: str) -> bool:
        """Publish and wait for the broker's word; False where it cannot be had."""
        try:
            self.app.send_task(
                TASK, (kind, job_id), queue=queue_of(kind), retry=False, confirm_timeout=ANSWER_S,
                ignore_result=True,
            )  # fmt: skip
        except Exception as error:  # of the socket, of AMQP, of Celery: each means "not published"
            self._note(error)
            return False
        self._note(None)
        return True

    def ready(self, kind: str) -> int | None:
        """Permits of this kind that no worker has taken; None where the broker does not say."""
        try:
            with self.app.connection_for_write() as connection:
                return self._count(connection.default_channel, queue_of(kind))
        except Exception as error:  # as above
            self._note(error)
            return None

    def _count(self, channel: "Channel", name: str) -> int:
        from amqp.exceptions import NotFound

        try:
            told = channel.queue_declare(name, passive=True)
        except NotFound:
            return 0  # wiped, or never made: publishing makes it
        return told.message_count if told is not None else 0

    def _note(self, error: Exception | None) -> None:
        """Say once that the broker is away, and once that it is back."""
        if error is not None and not self._away:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            logger.warning(
                "the broker at {} does not answer: {}", without_password(self.url), reason
            )
        elif error is None and self._away:
            logger.info("the broker at {} answers again", without_password(self.url))
        self._away = error is not None


def open_permits(url: str | None) -> Permits:
    """Of the broker at `url`; of none where there is no URL. Raises BadInputError."""
    return BrokerPermits(url) if url else NoPermits()
