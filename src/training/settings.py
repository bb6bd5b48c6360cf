"""What the training loop takes from a configuration, whatever is trained."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from src.core.config import Config

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]


def overlaid(values: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    """`section` over `values`, key by key within nested mappings."""
    both = dict(values)
    for key, given in section.items():
        before = both.get(key)
        both[key] = (
            before | given if isinstance(before, dict) and isinstance(given, dict) else given
        )
    return both


class Rate(Config):
    """A learning rate that warms up and falls to zero at the end: slices of any length can resume.

    shape: "flat" stays at the peak until the last `decay` steps; "cosine" falls along half a cosine
    from the end of the warm-up on.
    """

    peak: float = Field(1e-3, ge=0)
    warmup: int = Field(100, ge=0)
    decay: int = Field(500, ge=0)
    shape: Literal["flat", "cosine"] = "flat"

    def factor(self, step: int, steps: int) -> float:
        """The share of the peak at `step` (from 0) of `steps`."""
        rising = min(1.0, (step + 1) / max(1, self.warmup))
        if self.shape == "cosine":
            done = max(0, step - self.warmup) / max(1, steps - self.warmup)
            return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return rising * min(1.0, max(0.0, (steps - step) / max(1, self.decay)))


class LoopSettings(Config):
    """What the loop itself needs to know, whatever is trained.

    rates: shares of the learning rate by prefix of the parameter's name; 1 for all others.
    muon: prefixes of the parameters whose matrices are trained by Muon (src/training/muon.py);
    AdamW for all others. optimizer: "adamw", or "adamw8bit" (bitsandbytes, on CUDA). ema: of the
    averaged weights; 0 follows at once.
    """

    steps: int = Field(ge=0)
    rate: Rate = Rate()
    rates: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    muon: tuple[str, ...] = ()
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    betas: Betas = (0.9, 0.95)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    save_minutes: float = Field(5.0, ge=0)

    @model_validator(mode="after")
    def _muon_has_its_own_optimizer(self) -> Self:
        if self.muon and self.optimizer != "adamw":
            raise ValueError(
                f"muon goes with optimizer adamw; {self.optimizer} would train its matrices instead"
            )
        return self
