"""The optimizers that a configuration may name."""

from __future__ import annotations

from typing import Any

import torch

from src.core.errors import BadInputError
from src.training.muon import Muon
from src.training.settings import LoopSettings


def make_optimizer(groups: list[dict[str, Any]], schedule: LoopSettings) -> torch.optim.Optimizer:
    """AdamW, in 32 or 8 bit; in 32 the groups marked `orthogonal` get Muon.

    Raises BadInputError where 8 bit cannot be had here, with what would be right.
    """
    options = {
        "lr": schedule.rate.peak,
        "betas": schedule.betas,
        "weight_decay": schedule.weight_decay,
    }
    if schedule.optimizer == "adamw":
        return Muon(groups, **options)
    check_optimizer(schedule.optimizer)
    import bitsandbytes

    return bitsandbytes.optim.AdamW8bit(groups, **options)


def check_optimizer(name: str) -> None:
    """Raise BadInputError where the optimizer `name` does not run on this machine."""
    if name == "adamw":
        return
    if not torch.cuda.is_available():
        raise BadInputError(f"optimizer: {name} needs a CUDA device, which is not here; use adamw")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise BadInputError(
            f"optimizer: {name} needs bitsandbytes: pip install -r requirements-lora.txt, or use "
            "adamw"
        ) from None
