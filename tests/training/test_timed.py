"""A stage that is cut to its time ends with its schedule."""

import time

import pytest
import torch
from torch import nn

from src.recipes.embedded.settings import StageSettings
from src.recipes.embedded.timed import FitToTime, fitted_to_time
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer
from src.training.recipe import Recipe
from src.training.settings import Rate

STAGE = StageSettings(steps=10**6, share=1, rate=Rate(peak=0.1, warmup=2, decay=500))


class Slow(Recipe):
    """A step takes a twentieth of a second."""

    name = "slow"

    def __init__(self):
        self.model, self.stage = nn.Linear(1, 1), STAGE

    def batch(self, step):
        return torch.ones(1, 1)

    def loss(self, batch, generator):
        time.sleep(0.05)
        return self.model(batch).square().mean()


def test_the_schedule_ends_with_the_time(tmp_path):
    recipe = Slow()
    trainer = Trainer(recipe, STAGE, 0, CheckpointManager(tmp_path), bf16=False)
    rates = []
    trainer.run(
        1e9, [FitToTime(recipe, 2.0, warm=3, seen=4), lambda report, _: rates.append(report.rate)]
    )
    assert 8 < trainer.step == trainer.stage.steps < 10**6
    assert recipe.stage is trainer.stage
    assert rates[3] == pytest.approx(0.1)
    assert rates[-1] < 0.03


def test_a_fitted_stage_decays_over_its_last_third():
    stage = fitted_to_time(STAGE, done=50, more=150)
    assert (stage.steps, stage.rate.decay) == (200, 60)
    assert fitted_to_time(STAGE, done=50, more=0).steps == 51


class SlowingDown(Slow):
    """From the twelfth step on, a step takes three times as long."""

    def loss(self, batch, generator):
        self.taken = getattr(self, "taken", 0) + 1
        time.sleep(0.1 if self.taken > 12 else 0)
        return super().loss(batch, generator)


def test_a_stage_that_slows_down_is_fitted_again(tmp_path):
    recipe = SlowingDown()
    trainer = Trainer(recipe, STAGE, 0, CheckpointManager(tmp_path), bf16=False)
    rates = []
    trainer.run(
        4.0, [FitToTime(recipe, 4.0, warm=3, seen=4), lambda report, _: rates.append(report.rate)]
    )
    assert trainer.step > 14
    assert rates[-1] < 0.05  # of a peak of 0.1: fitted once, the time would be up at the peak
