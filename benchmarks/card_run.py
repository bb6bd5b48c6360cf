"""How the rows of `benchmarks.card` are run: each in its own time, and the results written after
each.
"""

import faulthandler
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULT = "card.json"
GRACE_SECONDS = 20
"""Until a row that hears no signal, in a kernel that hangs, ends the process."""
LONGEST = 2.5
"""Times what a row takes, about: no row takes the minutes of those after it."""


class OutOfTime(Exception):
    """The minutes are over."""


@dataclass(frozen=True)
class Row:
    """One question.

    seconds: what it takes on a card, about; after LONGEST times that it is stopped. run: fills the
    answer; raises where it fails.
    """

    name: str
    seconds: float
    run: Callable[[Any, dict[str, Any]], None]


def run_rows(
    rows: tuple[Row, ...], bench: Any, out: Path, end: float, head: dict[str, Any]
) -> dict[str, Any]:
    """Every row in its own try until `end` (of `time.monotonic`); returns and writes what they
    found.
    """
    found = head | {"rows": {}}
    for row in rows:
        found["rows"][row.name] = told = {}
        left = end - time.monotonic()
        if found.get("fatal"):
            told["error"] = f"not run: {found['fatal']}"
        elif left < (0 if head.get("rehearsal") else row.seconds / 2):
            told["error"] = (
                f"not run: it takes about {row.seconds:.0f} s, {max(left, 0):.0f} s were left"
            )
        else:
            _run_row(row, bench, told, max(left, 1.0))
            if told.get("fatal"):
                found["fatal"] = f"the device failed in row {row.name}"
        write(out, found)
        print(json.dumps({row.name: told}), flush=True)
    return found


def _run_row(row: Row, bench: Any, told: dict[str, Any], left: float) -> None:
    begin, most = time.monotonic(), min(left, LONGEST * row.seconds)
    bench.start_row()
    try:
        with alarm(most):
            row.run(bench, told)
    except OutOfTime:
        told["error"] = f"stopped after {most:.0f} s, where about {row.seconds:.0f} s were expected"
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        told["fatal"] = bench.is_fatal(error)
    told["seconds"] = round(time.monotonic() - begin, 2)
    told.update(bench.end_row())


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime after so many seconds; end the process where that is not heard."""

    def ring(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def write(out: Path, found: dict[str, Any]) -> None:
    """The results so far, whole."""
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".{RESULT}.partial"
    partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    partial.replace(out / RESULT)
