"""The loop: resumed runs equal uninterrupted ones, losses fall, divergence stops."""

import pytest
import torch
from torch import nn

from src.core.errors import DivergedError
from src.recipes.embedded.parts import prepare_parts
from src.recipes.embedded.run import RECIPES
from src.recipes.embedded.settings import StageSettings
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer, step_generator
from src.training.optimizers import parameter_groups
from src.training.recipe import Recipe
from src.training.settings import Rate


class Line(Recipe):
    """Fits y = 2 x; the batch is a function of the step."""

    name = "line"

    def __init__(self, poison_at=None):
        torch.manual_seed(0)
        self.model, self.poison_at = nn.Linear(3, 1), poison_at

    def batch(self, step):
        return torch.randn(8, 3, generator=step_generator(5, step)), step

    def loss(self, batch, generator):
        inputs, step = batch
        noise = 0.01 * torch.randn(8, 1, generator=generator)
        loss = (self.model(inputs) - 2 * inputs.sum(1, keepdim=True) + noise).square().mean()
        return loss * (float("nan") if step == self.poison_at else 1.0)


STAGE = StageSettings(steps=60, share=1, rate=Rate(peak=0.1, warmup=5, decay=10))


def _trainer(folder, recipe=None, steps=60):
    stage = STAGE.model_copy(update={"steps": steps})
    return Trainer(
        recipe or Line(), stage, seed=3, checkpoints=CheckpointManager(folder), bf16=False
    )


class StopAt:
    def __init__(self, step):
        self.step = step

    def __call__(self, report, trainer):
        if report.step == self.step:
            trainer.save()
            raise KeyboardInterrupt


def test_resumed_equals_uninterrupted(tmp_path):
    whole = _trainer(tmp_path / "whole")
    whole.run(1e9)
    part = _trainer(tmp_path / "part")
    with pytest.raises(KeyboardInterrupt):
        part.run(1e9, [StopAt(23)])
    resumed = _trainer(tmp_path / "part")
    assert resumed.resume()
    assert resumed.step == 23
    resumed.run(1e9)
    for name, tensor in whole.average.items():
        assert torch.equal(tensor, resumed.average[name])
    assert torch.equal(whole.model.weight, resumed.model.weight)


def test_learns(tmp_path):
    losses = []
    _trainer(tmp_path).run(1e9, [lambda report, _: losses.append(report.loss)])
    assert len(losses) == 60
    assert losses[-1] < 0.05 * losses[0]


def test_time_is_up(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.run(0.0)
    assert trainer.step == 0
    assert CheckpointManager(tmp_path).steps() == [0]


def test_divergence_keeps_the_last_checkpoint(tmp_path):
    trainer = _trainer(tmp_path, Line(poison_at=4))
    with pytest.raises(DivergedError, match="step 4"):
        trainer.run(1e9, [lambda report, t: t.save()])
    assert CheckpointManager(tmp_path).latest()["step"] == 4


def test_rate_warms_up_stays_and_falls():
    rate = Rate(peak=1.0, warmup=10, decay=20)
    factors = [rate.factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:80] == pytest.approx([1.0] * 70)
    assert factors[99] == pytest.approx(0.05)


def test_parts_of_a_model_may_learn_more_slowly(tmp_path):
    model = nn.ModuleDict({"text": nn.Linear(3, 3), "video": nn.Linear(3, 1)})
    model["text"].bias.requires_grad = False
    groups = {group["share"]: group["params"] for group in parameter_groups(model, {"text": 0.1})}
    assert [parameter.shape for parameter in groups[0.1]] == [(3, 3)]
    assert [parameter.shape for parameter in groups[1.0]] == [(1, 3), (1,)]
    slow = _trainer(tmp_path)
    slow.optimizer.param_groups[0]["share"] = 0.0
    before = slow.model.weight.clone()
    slow.run(1e9, [lambda report, trainer: None])
    assert torch.equal(before, slow.model.weight)


def test_interrupted_runs_save(tmp_path):
    def interrupt(report, trainer):
        if report.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _trainer(tmp_path).run(1e9, [interrupt])
    assert CheckpointManager(tmp_path).steps() == [7]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_learn(name, small, settings, run_folder, tmp_path):
    stage = getattr(settings, name)
    recipe = RECIPES[name](prepare_parts(small, settings, run_folder), stage, settings)
    trainer = Trainer(recipe, stage, 1, CheckpointManager(tmp_path), bf16=False)
    before = _held_loss(recipe)
    trainer.run(1e9)
    assert _held_loss(recipe) < 0.93 * before


@torch.no_grad()
def _held_loss(recipe):
    """The loss of fixed clips, timesteps and noise that training has not seen."""
    return sum(float(recipe.loss(recipe.batch(1000 + k), step_generator(9, k))) for k in range(4))


@pytest.mark.parametrize("name", RECIPES)
def test_batches_are_a_function_of_the_step(name, small, settings, run_folder):
    prepared = prepare_parts(small, settings, run_folder)
    one, other = (RECIPES[name](prepared, getattr(settings, name), settings) for _ in range(2))
    other.batch(3)
    for part, same in zip(one.batch(5), other.batch(5), strict=True):
        assert torch.equal(part, same) if isinstance(part, torch.Tensor) else part == same
