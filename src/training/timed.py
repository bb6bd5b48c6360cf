"""Stages that end when the time does: their steps are counted once it is known how long one takes.

A schedule falls to zero at its last step, and nobody knows beforehand how many steps a borrowed accelerator takes in
its minutes.
"""

from __future__ import annotations

import time
from typing import Any

from loguru import logger

from src.training.loop import Report, Trainer
from src.training.settings import Stage

DECAY = 0.3
"""The share of the steps over which the rate falls, where a stage is cut to its time."""


class FitToTime:
    """A callback that sets the steps of a stage, once, from the pace of those that it has seen.

    seconds: of the whole stage, what passes before the first step (loading, compiling) included. warm: steps that are
    not counted, as they compile; seen: those that are.
    """

    def __init__(self, recipe: Any, seconds: float, warm: int = 20, seen: int = 30) -> None:
        self.recipe, self.warm, self.seen = recipe, warm, seen
        self._until = time.monotonic() + seconds
        self._first: int | None = None
        self._began = 0.0

    def __call__(self, report: Report, trainer: Trainer) -> None:
        self._first = report.step if self._first is None else self._first
        taken = report.step - self._first
        if taken == self.warm:
            self._began = time.monotonic()
        elif taken == self.warm + self.seen:
            pace = (time.monotonic() - self._began) / self.seen
            left = max(0.0, self._until - time.monotonic())
            trainer.stage = self.recipe.stage = fitted(trainer.stage, report.step, int(left / pace))
            logger.info("{}: {:.3f} s a step, {} steps in all", self.recipe.name, pace, trainer.stage.steps)


def fitted(stage: Stage, done: int, more: int) -> Stage:
    """The stage with `more` steps after those that are done, and its decay at the end of them."""
    steps = done + max(1, more)
    rate = stage.rate.model_copy(update={"decay": max(1, int(DECAY * steps))})
    return stage.model_copy(update={"steps": steps, "rate": rate})
