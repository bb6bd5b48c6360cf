"""The checkpoint's own scheduler: noise levels depend on the tokens. Imports no torch."""

from typing import Any

import numpy as np

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.family import Timesteps
from src.pipelines.flow_schedules import euler_schedule, flow_mu, token_count, tokens_timesteps


def timesteps_of(count: int, spec: ModelSpec, num_frames: int | None) -> Timesteps:
    """Timesteps and noise levels of a clip of so many frames, the model's own count unless
    given."""
    frames = num_frames or spec.defaults.num_frames
    return tokens_timesteps(count, token_count(spec.native, frames), spec)


def make_scheduler(stock: Any, plan: Plan, device: str) -> Any:
    """A fresh one on the checkpoint's own configuration, at the plan's steps, as the stock pipeline
    sets them."""
    made = type(stock).from_config(stock.config)
    count = plan.num_inference_steps
    made.set_timesteps(
        sigmas=np.linspace(1.0, 1 / count, count),
        mu=flow_mu(token_count(plan.native, plan.num_frames), euler_schedule(stock.config)),
        device=device,
    )
    return made
