"""A progress bar with time left, for whoever watches a terminal; silent elsewhere."""

import sys
from types import TracebackType
from typing import Any

from src.core.progress import Progress


class ProgressBar:
    """A context manager and listener: one line a stage, on standard error, only on a terminal and
    not `quiet`.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.active = sys.stderr.isatty() and not quiet
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "ProgressBar":
        if self.active:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            stage = TextColumn("{task.description:>8}")
            columns = (stage, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __call__(self, report: Progress) -> None:
        if self._bar is None:
            return
        if report.stage not in self._tasks:
            self._tasks[report.stage] = self._bar.add_task(report.stage, total=report.total)
        self._bar.update(self._tasks[report.stage], completed=report.done, total=report.total)

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
