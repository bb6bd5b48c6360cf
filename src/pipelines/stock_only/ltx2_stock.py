"""LTX-2's stock pipeline, as diffusers has it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.core.plan import Plan
from src.pipelines.flow_schedules import tokens_scheduler
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
        return tokens_scheduler(stock, plan, device)
