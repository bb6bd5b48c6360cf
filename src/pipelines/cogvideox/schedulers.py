"""Schedulers and their timesteps. The checkpoint's own file says everything but which solver to
use."""

from typing import Any

import numpy as np

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.family import Timesteps

SCHEDULERS = {"dpm": "CogVideoXDPMScheduler", "ddim": "CogVideoXDDIMScheduler"}


def timesteps_of(count: int, spec: ModelSpec, stock: bool) -> Timesteps:
    """With trailing spacing, or as the checkpoint's own file says."""
    schedule = spec.schedule
    if stock:
        return Timesteps(
            timesteps(count, schedule.spacing, schedule.train_timesteps, schedule.offset)
        )
    return Timesteps(timesteps(count, "trailing", schedule.train_timesteps, 0))


def timesteps(
    count: int, spacing: str = "trailing", train: int = 1000, offset: int = 0
) -> tuple[int, ...]:
    """The descending timesteps that a scheduler with this spacing visits; see arXiv:2305.08891,
    table 2."""
    if spacing == "trailing":
        values = np.round(np.arange(train, 0, -train / count)) - 1
    elif spacing == "leading":
        values = (np.arange(count) * (train // count))[::-1] + offset
    else:
        values = np.linspace(0, train - 1, count).round()[::-1]
    return tuple(int(value) for value in values)


def make_scheduler(stock: Any, plan: Plan, device: str) -> Any:
    """A fresh scheduler at the plan's steps, so that no state of an earlier run is left in it.

    "checkpoint" is the checkpoint's own; others are built on its configuration, with trailing
    spacing.
    """
    if plan.scheduler == "checkpoint":
        made = type(stock).from_config(stock.config)
    else:
        made = solver(plan.scheduler, stock.config)
    made.set_timesteps(plan.num_inference_steps, device=device)
    return made


def solver(name: str, config: dict[str, Any]) -> Any:
    """The scheduler `name` on the checkpoint's own configuration, with trailing spacing."""
    import diffusers

    return getattr(diffusers, SCHEDULERS[name]).from_config(config, timestep_spacing="trailing")
