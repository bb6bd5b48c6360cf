"""Schedulers and their timesteps. The checkpoint's own file says everything but which solver to use."""

from typing import Any

import numpy as np

SCHEDULERS = {"dpm": "CogVideoXDPMScheduler", "ddim": "CogVideoXDDIMScheduler"}


def timesteps(count: int, spacing: str = "trailing", train: int = 1000, offset: int = 0) -> tuple[int, ...]:
    """The descending timesteps that a scheduler with this spacing visits; see arXiv:2305.08891, table 2."""
    if spacing == "trailing":
        values = np.round(np.arange(train, 0, -train / count)) - 1
    elif spacing == "leading":
        values = (np.arange(count) * (train // count))[::-1] + offset
    else:
        values = np.linspace(0, train - 1, count).round()[::-1]
    return tuple(int(value) for value in values)


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """The scheduler `name` on the checkpoint's own configuration, with trailing spacing."""
    import diffusers

    return getattr(diffusers, SCHEDULERS[name]).from_config(config, timestep_spacing="trailing")
