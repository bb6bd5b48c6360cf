"""Stages that end when the time does: their steps are counted once it is known how long one takes.

A schedule falls to zero at its last step, and nobody knows beforehand how many steps a borrowed
accelerator takes in its minutes.
"""

from __future__ import annotations

import time
from typing import Any

from loguru import logger

from src.recipes.embedded.settings import StageSettings
from src.training.loop import Report, Trainer

DECAY = 0.3
"""The share of the steps over which the rate falls, where a stage is cut to its time."""


class FitToTime:
    """A callback that sets the steps of a stage, again and again, from the pace of the last ones.

    Again, because they slow down when a recipe goes on to longer clips, and the rate is to have
    fallen when time is up.

    seconds: until the stage ends, from now on. warm: steps that are not counted, as they compile;
    seen: those that are, each time.
    """

    def __init__(self, recipe: Any, seconds: float, warm: int = 20, seen: int = 30) -> None:
        self.recipe, self.warm, self.seen = recipe, warm, seen
        self._until = time.monotonic() + seconds
        self._begun_at: int | None = None
        self._began = 0.0

    def __call__(self, report: Report, trainer: Trainer) -> None:
        if self._begun_at is None:
            self._begin(report.step + self.warm)
        if report.step == self._begun_at:
            self._began = time.monotonic()
        taken = report.step - self._begun_at
        # after the last, no batch is on its way
        if taken == self.seen and report.step < trainer.stage.steps:
            now = time.monotonic()
            pace = (now - self._began) / self.seen
            more = int(max(0.0, self._until - now) / pace)
            trainer.stage = self.recipe.stage = fitted_to_time(trainer.stage, report.step, more)
            logger.debug(
                "{}: {:.3f} s a step, {} steps in all", self.recipe.name, pace, trainer.stage.steps
            )
            self._begin(report.step)

    def _begin(self, step: int) -> None:
        self._begun_at, self._began = step, time.monotonic()


def fitted_to_time(stage: StageSettings, done: int, more: int) -> StageSettings:
    """The stage with `more` steps after those that are done, and its decay at the end of them."""
    steps = done + max(1, more)
    rate = stage.rate.model_copy(update={"decay": max(1, int(DECAY * steps))})
    return stage.model_copy(update={"steps": steps, "rate": rate})
