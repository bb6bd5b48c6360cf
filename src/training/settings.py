"""What the training loop takes from a configuration, and what configs/training/embedded.yaml may say."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from src.core.config import Config
from src.core.request import Seed, Threads

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]


class Rate(Config):
    """A learning rate that warms up and falls to zero at the end: slices of any length can resume.

    shape: "flat" stays at the peak until the last `decay` steps; "cosine" falls along half a cosine from the end of
    the warm-up on.
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
    muon: prefixes of the parameters whose matrices are trained by Muon (src/training/muon.py); AdamW for all others.
    optimizer: "adamw", or "adamw8bit" (bitsandbytes, on CUDA). ema: of the averaged weights; 0 follows at once.
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
            raise ValueError(f"muon goes with optimizer adamw; {self.optimizer} would train its matrices instead")
        return self


class Stage(LoopSettings):
    """What all stages of the recipe `embedded` have. share: the part of a slice's minutes that one gets."""

    share: float


class DecoderStage(Stage):
    """The decoder learns the pixels behind the fixed codes, on crops of single frames.

    crop_height, crop_width: in pixels, a multiple of a latent cell. crops: a step. code_noise: the largest deviation
    of the noise on the codes.
    """

    crops: int = 8
    crop_height: int = 96
    crop_width: int = 96
    gradient_weight: float = 1.0
    code_noise: float = 0.06


class TextStage(Stage):
    """The text encoder alone learns which move a prompt names, before any picture is seen.

    long_text: the share of steps with 226 tokens, to which the stock pipeline pads a prompt.
    """

    prompts: int = 64
    long_text: float = 0.0


class TransformerStage(Stage):
    """Text encoder and transformer learn the clean codes of a clip.

    batches: clips a step for each number of token frames, the photograph's among them; draw: from which share of the
    steps on which numbers are drawn, with their weights. contiguous: the share of samples whose token frames are the
    clip's first. last_timestep: the share of samples at the schedule's last timestep; 0 is the published objective.
    image_noise: the logarithm of the noise on the photograph. long_text: as in the text stage.
    """

    batches: dict[int, int]
    draw: dict[float, dict[int, float]]
    contiguous: float = 0.3
    caption_dropout: float = 0.1
    image_dropout: float = 0.05
    last_timestep: float = 0.0
    image_noise: float = -3.0
    long_text: float = 0.0

    @model_validator(mode="after")
    def _drawn_are_batched(self) -> Self:
        missing = sorted({count for counts in self.draw.values() for count in counts} - set(self.batches))
        if 0 not in self.draw:
            raise ValueError("draw does not say what is drawn from share 0 of the steps on")
        if missing or min(self.batches) < 2:
            raise ValueError(f"draw names {missing} token frames that batches lacks; each is 2 or more")
        return self

    def lengths(self, step: int) -> dict[int, float]:
        """The numbers of token frames drawn at `step`, with their weights."""
        return self.draw[max(start for start in self.draw if start <= step / self.steps)]


class EmbeddedSettings(Config):
    """The recipe `embedded`. Seeds, the fit of the codes, and the three stages that run after it.

    canvases: in the window that clips draw from; reuse: clips for each new one.
    """

    seed: Seed = 20
    corpus: int = 6000
    fit_clips: int = 120
    canvases: int = 160
    reuse: int = 4
    mix: dict[str, float] = Field(default_factory=dict, description="shares that differ from scenes.sampler.Mix")
    threads: Threads | None = Field(default=None, description="CPU threads; None leaves it to torch")
    decoder: DecoderStage
    text: TextStage
    transformer: TransformerStage
