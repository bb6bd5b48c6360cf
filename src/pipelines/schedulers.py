"""Schedulers and their timesteps. The checkpoint's own file says everything but which solver to use."""

from typing import Any

import numpy as np

SCHEDULERS = {"dpm": "CogVideoXDPMScheduler", "ddim": "CogVideoXDDIMScheduler"}


def trailing_timesteps(count: int, train_timesteps: int = 1000) -> tuple[int, ...]:
    """Evenly spaced from the noisiest down: round(N, N - N/n, ...) - 1, "trailing" in arXiv:2305.08891, table 2."""
    step = train_timesteps / count
    return tuple(int(t) for t in np.round(np.arange(train_timesteps, 0, -step)).astype(np.int64) - 1)


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """The scheduler `name` on the checkpoint's own configuration, with trailing spacing."""
    import diffusers

    return getattr(diffusers, SCHEDULERS[name]).from_config(config, timestep_spacing="trailing")
