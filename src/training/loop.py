"""The one training loop. A recipe says what to compute; callbacks do what happens besides.

Everything random is drawn from a generator keyed by (seed, step), and batches are a function of the step, so a run
that was stopped and resumed takes the very steps of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn

from src.core.errors import DivergedError
from src.training.checkpoints import CheckpointManager
from src.training.muon import Muon
from src.training.settings import Stage


class Recipe(Protocol):
    """What is trained. `batch` runs in a thread of its own, one step ahead."""

    name: str
    model: nn.Module

    def batch(self, step: int) -> Any: ...

    def loss(self, batch: Any, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class Report:
    """One step, for callbacks. seconds: of this step; loss: of its batch."""

    step: int
    steps: int
    loss: float
    rate: float
    grad_norm: float
    seconds: float
    remaining_s: float


Callback = Callable[[Report, "Trainer"], None]


class Trainer:
    """State of one stage: model, optimizer, running average of the weights, and the next step."""

    def __init__(self, recipe: Recipe, stage: Stage, seed: int, checkpoints: CheckpointManager, bf16: bool):
        self.recipe, self.stage, self.seed, self.checkpoints = recipe, stage, seed, checkpoints
        self.accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no")
        groups = parameter_groups(recipe.model, stage.rates, stage.muon)
        optimizer = Muon(groups, lr=stage.rate.peak, betas=(0.9, 0.95), weight_decay=stage.weight_decay)
        self.model, self.optimizer = self.accelerator.prepare(recipe.model, optimizer)
        self.average = {name: tensor.detach().clone() for name, tensor in self._trained()}
        self.step = 0

    def _trained(self) -> list[tuple[str, Tensor]]:
        model = self.accelerator.unwrap_model(self.model)
        return [(name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]

    def resume(self) -> bool:
        """Continue from the newest checkpoint; False where there is none."""
        state = self.checkpoints.latest()
        if state is None:
            return False
        for name, tensor in self._trained():
            tensor.data.copy_(state["model"][name])
            self.average[name].copy_(state["average"][name])
        shares = [group["share"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, share in zip(self.optimizer.param_groups, shares, strict=True):
            group["share"] = share  # of today's settings, not of those that the checkpoint was made with
        self.step = state["step"]
        return True

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights, by parameter name; parameters without one stay untrained."""
        for name, tensor in self._trained():
            if name in weights:
                tensor.copy_(weights[name])
                self.average[name].copy_(weights[name])

    def save(self) -> None:
        """Write everything that the next step depends on."""
        model = {name: tensor.detach().cpu() for name, tensor in self._trained()}
        average = {name: tensor.cpu() for name, tensor in self.average.items()}
        state = {"step": self.step, "model": model, "average": average}
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, state | {"optimizer": self.optimizer.state_dict()})

    def run(self, seconds: float, callbacks: Sequence[Callback] = ()) -> None:
        """Train until the stage's last step or until the time is up, then save; so does an interruption.

        Raises DivergedError on a loss that is not finite; the last checkpoint is from before it.
        """
        try:
            self._steps(seconds, callbacks)
        except KeyboardInterrupt:
            self.save()
            raise
        self.save()

    def _steps(self, seconds: float, callbacks: Sequence[Callback]) -> None:
        began = saved = time.monotonic()
        with ThreadPoolExecutor(1) as ahead:
            upcoming = ahead.submit(self.recipe.batch, self.step)
            while self.step < self.stage.steps and time.monotonic() - began < seconds:
                report, upcoming = self._one_step(upcoming, ahead)
                for callback in callbacks:
                    callback(report, self)
                if time.monotonic() - saved > 60 * self.stage.save_minutes:
                    self.save()
                    saved = time.monotonic()
            upcoming.cancel()

    def _one_step(self, upcoming: Future, ahead: ThreadPoolExecutor) -> tuple[Report, Future]:
        start = time.monotonic()
        batch = send_to_device(upcoming.result(), self.accelerator.device)
        following = ahead.submit(self.recipe.batch, self.step + 1)
        rate = self.stage.rate.peak * self.stage.rate.factor(self.step, self.stage.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        generator = step_generator(self.seed, self.step)
        loss = self.recipe.loss(batch, generator)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"{self.recipe.name}: the loss is not finite at step {self.step}; "
                "the last checkpoint is intact, try a lower rate.peak"
            )
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.stage.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow()
        self.step += 1
        seconds = time.monotonic() - start
        remaining = (self.stage.steps - self.step) * seconds
        total = self.stage.steps
        return Report(self.step, total, loss.item(), rate, float(norm), seconds, remaining), following

    @torch.no_grad()
    def _follow(self) -> None:
        """The running average of the weights, faster in the first steps."""
        keep = min(self.stage.ema, (1 + self.step) / (10 + self.step))
        for name, tensor in self._trained():
            self.average[name].lerp_(tensor.detach(), 1 - keep)


def parameter_groups(model: nn.Module, rates: Mapping[str, float], muon: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Trained parameters by their share of the learning rate (that of the first prefix in `rates`, or 1), and by
    whether they are matrices under a prefix in `muon`.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            share = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
            orthogonal = parameter.ndim == 2 and name.startswith(muon)
            groups.setdefault((share, orthogonal), []).append(parameter)
    return [
        {"params": parameters, "share": share, "orthogonal": orthogonal}
        for (share, orthogonal), parameters in groups.items()
    ]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step, the same on every machine and after every resume."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
