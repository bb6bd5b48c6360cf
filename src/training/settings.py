"""What the training loop takes from a configuration, and what configs/training/embedded.yaml may say."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from src.core.config import Config


class Rate(Config):
    """A learning rate that warms up and falls to zero at the end: slices of any length can resume.

    shape: "flat" stays at the peak until the last `decay` steps; "cosine" falls along half a cosine from the end of
    the warm-up on.
    """

    peak: float = 1e-3
    warmup: int = 100
    decay: int = 500
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
    muon: prefixes of the parameters whose matrices are trained by Muon (src/training/muon.py); AdamW for all others.
    optimizer: "adamw", or "adamw8bit" (bitsandbytes, on CUDA). ema: of the averaged weights; 0 follows at once.
    """

    steps: int
    rate: Rate = Rate()
    rates: dict[str, float] = Field(default_factory=dict)
    muon: tuple[str, ...] = ()
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema: float = 0.999
    save_minutes: float = 5.0

    @model_validator(mode="after")
    def _muon_has_its_own_optimizer(self) -> Self:
        if self.muon and self.optimizer != "adamw":
            raise ValueError(f"muon goes with optimizer adamw; {self.optimizer} would train its matrices instead")
        return self


class Stage(LoopSettings):
    """What both stages of the recipe `embedded` share. `share` is the part of a slice's minutes that one gets.

    batches: samples a step for each clip length in frames; draw: from which step on which lengths are drawn.
    """

    share: float
    batches: dict[int, int]
    draw: dict[int, dict[int, float]]

    @field_validator("batches", "draw")
    @classmethod
    def _frame_counts(cls, value: dict) -> dict:
        lengths = [n for entry in value.values() for n in entry] if _nested(value) else list(value)
        if any(length % 8 != 1 for length in lengths):
            raise ValueError("clip lengths must be 8k+1 frames: 9, 17, 25, 33, 41 or 49")
        return value

    def lengths(self, step: int) -> dict[int, float]:
        """The clip lengths drawn at `step`, with their weights."""
        return self.draw[max(start for start in self.draw if start <= step)]


def _nested(value: dict) -> bool:
    return any(isinstance(entry, dict) for entry in value.values())


class DecoderStage(Stage):
    """The decoder learns the pixels behind the fixed codes, on crops (pixels, a multiple of 16)."""

    crop_height: int = 80
    crop_width: int = 80
    gradient_weight: float = 1.0
    code_noise: float = 0.12


class TextStage(Stage):
    """The text encoder alone learns which move a prompt names, before any picture is seen."""

    prompts: int = 64


class TransformerStage(Stage):
    """Text encoder and transformer learn the velocity of the codes.

    high_noise: the share of samples whose timestep is drawn from the upper third of the schedule; 0 is the
    published objective.
    """

    caption_dropout: float = 0.1
    image_dropout: float = 0.05
    high_noise: float = 0.0


class EmbeddedSettings(Config):
    """The recipe `embedded`. Seeds, the fit of the codes, and the three stages that run after it."""

    seed: int = 20
    corpus: int = 6000
    fit_clips: int = 120
    canvases: int = 160
    mix: dict[str, float] = Field(default_factory=dict, description="shares that differ from scenes.sampler.Mix")
    threads: int | None = Field(default=None, description="CPU threads; None leaves it to torch")
    decoder: DecoderStage
    text: TextStage
    transformer: TransformerStage
