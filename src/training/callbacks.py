"""What happens besides training: a CSV log, a line now and then, and sheets of samples."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from src.training.loop import Report, Trainer

Callback = Callable[[Report, Trainer], None]

COLUMNS = ("step", "loss", "rate", "grad_norm", "seconds")


class CsvLog:
    """Appends every step to a CSV file, with a header where the file is new."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, report: Report, trainer: Trainer) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow([f"{getattr(report, name):.6g}" for name in COLUMNS])


class ConsoleLog:
    """One line every `seconds`: the loss, smoothed, the throughput and what remains."""

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds
        self._last = 0.0
        self._loss: float | None = None
        self._pace: float | None = None

    def __call__(self, report: Report, trainer: Trainer) -> None:
        self._loss = _smooth(self._loss, report.loss)
        self._pace = _smooth(self._pace, report.seconds)
        if time.monotonic() - self._last < self.seconds:
            return
        self._last = time.monotonic()
        left = (report.steps - report.step) * self._pace / 60
        logger.info(
            "{}: step {} of {}, loss {:.4f}, {:.2f} s a step, {:.0f} min remain",
            trainer.recipe.name, report.step, report.steps, self._loss, self._pace, left,
        )  # fmt: skip


class Periodic:
    """Calls `action(step)` when at least `minutes` have passed since the last time."""

    def __init__(self, minutes: float, action: Callable[[int], None]) -> None:
        self.minutes, self.action = minutes, action
        self._last = time.monotonic()

    def __call__(self, report: Report, trainer: Trainer) -> None:
        if time.monotonic() - self._last > 60 * self.minutes:
            self.action(report.step)
            self._last = time.monotonic()


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else 0.98 * old + 0.02 * new
