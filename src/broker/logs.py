"""What Celery and its libraries have to say, in our own log: warnings and errors, a line each."""

import logging

from loguru import logger

ROOMS = ("celery", "kombu", "amqp")
OFTEN = "kombu.transport.native_delayed_delivery"
"""Warns that there is no delayed delivery, which is not used here."""


class _Handler(logging.Handler):
    """Gives loguru each record's first line."""

    def emit(self, record: logging.LogRecord) -> None:
        first, _, _ = record.getMessage().partition("\n")
        logger.opt(exception=record.exc_info).log(record.levelname, "{}", first)


def pass_on() -> None:
    """Once a process; calling it again changes nothing."""
    for name in ROOMS:
        room = logging.getLogger(name)
        room.handlers, room.propagate = [_Handler(logging.WARNING)], False
    logging.getLogger(OFTEN).setLevel(logging.ERROR)
