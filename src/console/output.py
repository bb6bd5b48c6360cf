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


@contextmanager
def command(as_json: bool = False, quiet: bool = False) -> Iterator[None]:
    """Run a command's body: errors of the tree become one sentence and their exit code.

    Interrupt and SIGTERM exit 130 (nothing half-written stays, because every writer aborts on the
    way out). With `as_json` an error is also one JSON object on standard output. Other exceptions
    are bugs: traceback, exit 1.
    """
    from src.console.logs import setup_logs

    setup_logs(quiet)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with sentences(as_json):
            yield
    except KeyboardInterrupt:
        _fail(CancelledError("interrupted; nothing was written"), as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


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
