"""How commands speak: results on standard output, everything else on standard error, one exit code
each.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from src.core.errors import CancelledError, NewsreelError


class Interrupts:
    """The handler of SIGINT and SIGTERM: notes that one came, and raises KeyboardInterrupt.

    A library may lose that exception and raise one of its own: torch, where it comes while a tensor
    is made of a file, says that a storage has no shape.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, *_: Any) -> None:
        self.came = True
        raise KeyboardInterrupt

    def lost_in(self, error: BaseException) -> bool:
        """Whether the error stands in the place of an interrupt, which nothing in its chain is."""
        if not self.came or isinstance(error, CancelledError):
            return False
        return not any(isinstance(each, KeyboardInterrupt) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)


@contextmanager
def command(as_json: bool = False, quiet: bool = False) -> Iterator[None]:
    """Run a command's body: errors of the tree become one sentence and their exit code.

    Interrupt and SIGTERM exit 130 (nothing half-written stays, because every writer aborts on the
    way out). With `as_json` an error is also one JSON object on standard output. Other exceptions
    are bugs: traceback, exit 1.
    """
    from src.console.logs import setup_logs

    setup_logs(quiet)
    interrupts = Interrupts()
    signal.signal(signal.SIGTERM, interrupts)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as the shell has it for a job
        signal.signal(signal.SIGINT, interrupts)
    try:
        with sentences(as_json), found_again(interrupts):
            yield
    except KeyboardInterrupt:
        _fail(CancelledError("interrupted; nothing was written"), as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


@contextmanager
def found_again(interrupts: Interrupts) -> Iterator[None]:
    """An error in an interrupt's place is the interrupt."""
    try:
        yield
    except Exception as error:
        if interrupts.lost_in(error):
            raise KeyboardInterrupt from None
        raise


@contextmanager
def sentences(as_json: bool = False) -> Iterator[None]:
    """Errors of the tree become one sentence and their exit code; signals are left alone."""
    try:
        yield
    except NewsreelError as error:
        _fail(error, as_json)


def _fail(error: NewsreelError, as_json: bool) -> None:
    from src.console.logs import say_error

    say_error(str(error))
    if as_json:
        print_json(
            {
                "error": {
                    "type": type(error).__name__,
                    "message": str(error),
                    "exit_code": error.exit_code,
                }
            }
        )
    raise SystemExit(error.exit_code) from None


def print_json(data: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(data, ensure_ascii=False, indent=2))
