"""LTX-2's stock pipeline, as diffusers has it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.core.plan import Plan
from src.pipelines.flow_schedules import euler_schedule, flow_mu, token_count
from src.pipelines.sides import Pipe
from src.pipelines.stock_only.base import StockPipeline


class LTX2Stock(StockPipeline):
    """Its side `Stock`."""

    def load(
        self, folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]
    ) -> Pipe:
        """Without the warning that classes of the pipeline's own folder are not known to it."""
        checks = logging.getLogger("diffusers.pipelines.pipeline_loading_utils")
        level = checks.level
        checks.setLevel(logging.ERROR)
        try:
            return super().load(folder, dtype, parts, read)
        finally:
            checks.setLevel(level)

    def make_scheduler(self, stock: Any, plan: Plan, device: str) -> Any:
        """At the pipeline's own noise levels."""
        made, count = type(stock).from_config(stock.config), plan.num_inference_steps
        made.set_timesteps(
            sigmas=np.linspace(1.0, 1 / count, count),
            mu=flow_mu(token_count(plan.native, plan.num_frames), euler_schedule(stock.config)),
            device=device,
        )
        return made
