"""The optimizers that a configuration may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from src.core.errors import BadInputError
from src.training.muon import Muon
from src.training.settings import LoopSettings


def parameter_groups(
    model: nn.Module, rates: Mapping[str, float], muon: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Trained parameters by their share of the learning rate (that of the first prefix in `rates`,
    or 1), and by whether they are matrices under a prefix in `muon`.
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
