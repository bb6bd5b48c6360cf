"""What configs/training/lora_default.yaml may say: the recipe `lora`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from src.catalog.spec import ModelSpec
from src.core.config import Config, read_yaml, validate
from src.core.plan import Size
from src.core.request import GuidanceScale, Seed, StepCount, Threads
from src.pipelines.family import Family
from src.training.settings import Betas, LoopSettings, Rate, overlaid

LARGEST_SHARE = 0.1
"""Of the base's parameters: more would be no adapter."""


class Samples(Config):
    """Clips made after every `every` epochs (0: none) of the held-out pictures, else of the
    training ones.

    prompts: None takes the entries' own. seed: of every clip, so that epochs can be compared.
    """

    count: int = Field(2, ge=0)
    every: int = Field(1, ge=0)
    prompts: tuple[str, ...] = ()
    seed: Seed = 0
    num_inference_steps: StepCount | None = None
    guidance_scale: GuidanceScale | None = None


class LoraSettings(Config):
    """One adapter.

    model: "auto", a model id or a diffusers folder. epochs: passes over the clips, each seen
    `repeats` times in one; steps: ends the run earlier. batch_size: clips a step over all
    processes; accumulation: pieces that a process takes them in. rank, alpha (None: as rank),
    targets (None: the family's own), dropout: of the adapter.
    rate: warm-up and cosine. optimizer, betas, weight_decay, clip_norm: see `LoopSettings`.
    precision: "auto" is bf16 where the device is fast at it, else float32.
    frames, sizes (width, height), fps: of the buckets; empty takes the model's own. A clip goes to
    the longest bucket that it fills and, of those, to the one nearest to its shape.
    token_frames: of a clip in a step, the photograph's and others drawn anew; None for all. What
    one shows follows from photograph, prompt and time, and attention costs the square of them.
    whole: share of steps that hold all of them after all: what is learnt on a few does not quite
    hold where attention has many. contiguous: share of the other steps whose token frames beside
    the photograph's are neighbours of each other, from anywhere in the clip. steady: what the error
    of changes from a latent frame to the clip's next, as a share of the true change, weighs beside
    the objective (src/pipelines/steadiness.py); the held-out loss is without it. 0 of all three is
    the published objective.
    image_noises: noised encodings of the first frame kept for each clip. image_dropout,
    caption_dropout: chances. high_noise: share of samples whose timestep comes from the upper third
    of the schedule; last_timestep: of those whose timestep is the noisiest, where a clip begins and
    a clip of one step ends; 0 of both is the published objective. held_out_timesteps: where the
    held-out loss is taken. save_minutes: between checkpoints. shard_base: each process holds a part
    of the frozen base.
    models: what differs for one model, by its id.
    """

    seed: Seed = 42
    model: str = "auto"
    epochs: int = Field(10, ge=1)
    repeats: int = Field(1, ge=1)
    steps: int | None = Field(None, ge=1)
    batch_size: int = Field(1, ge=1)
    accumulation: int = Field(1, ge=1)
    rank: int = Field(64, ge=1)
    alpha: float | None = Field(None, gt=0)
    targets: tuple[str, ...] | None = None
    dropout: float = Field(0.0, ge=0, lt=1)
    rate: Rate = Rate(peak=1e-4, warmup=100, shape="cosine")
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    betas: Betas = (0.9, 0.95)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    gradient_checkpointing: bool = True
    shard_base: bool = False
    frames: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    fps: float | None = Field(None, gt=0)
    token_frames: int | None = Field(None, ge=2)
    whole: float = Field(0.0, ge=0, le=1)
    contiguous: float = Field(0.0, ge=0, le=1)
    steady: float = Field(0.0, ge=0)
    image_noises: int = Field(8, ge=1)
    image_dropout: float = Field(0.05, ge=0, le=1)
    caption_dropout: float = Field(0.1, ge=0, le=1)
    high_noise: float = Field(0.0, ge=0, le=1)
    last_timestep: float = Field(0.0, ge=0, le=1)
    held_out_timesteps: tuple[Annotated[int, Field(ge=0, lt=1000)], ...] = (100, 400, 700, 950)
    save_minutes: float = Field(5.0, gt=0)
    samples: Samples = Samples()
    threads: Threads | None = None
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _pieces_fit(self) -> LoraSettings:
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of accumulation "
                f"{self.accumulation}"
            )
        for name in ("whole", "contiguous"):
            if getattr(self, name) and self.token_frames is None:
                raise ValueError(
                    f"{name} {getattr(self, name):g} says which token frames a step holds; set "
                    f"token_frames, or leave {name} out"
                )
        if self.targets is not None and not self.targets:
            raise ValueError("targets must name at least one kind of layer, such as to_q")
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """The targets, once `for_family` has settled them."""
        if self.targets is None:
            raise ValueError("the targets are not settled yet: for_family does that")
        return self.targets

    @property
    def teacher_forwards(self) -> int:
        """Forwards without gradients that a step takes beside its own: clips teach without any."""
        return 0

    @property
    def teacher_adapters(self) -> int:
        """Frozen adapters in memory beside the one that is trained."""
        return 0

    @property
    def scale_alpha(self) -> float:
        """alpha; the adapter plays at alpha / rank."""
        return float(self.rank if self.alpha is None else self.alpha)

    def loop(self, steps: int) -> LoopSettings:
        """What the loop needs of these settings."""
        names = ("rate", "optimizer", "betas", "weight_decay", "clip_norm", "save_minutes")
        return LoopSettings(steps=steps, ema=0.0, **{name: getattr(self, name) for name in names})


Kind = TypeVar("Kind", bound=LoraSettings)


def load_settings(path: Path, changes: dict[str, Any], kind: type[Kind]) -> Kind:
    """The file with `changes` (flags) over it; every model's section is checked too."""
    values = read_yaml(path) | changes
    settings = validate(values, kind, str(path))
    for name in settings.models:
        for_model(settings, name, str(path))
    return settings


def for_model(settings: Kind, name: str, origin: str = "settings") -> Kind:
    """The settings with the section of the model called `name` over the general ones."""
    values = settings.model_dump(exclude_unset=True, exclude={"models"})
    section = settings.models.get(name, {})
    own = validate(overlaid(values, section), type(settings), f"{origin}: models.{name}")
    return own.model_copy(update={"models": {}})


def for_family(settings: LoraSettings, family: Family) -> LoraSettings:
    """The settings with the family's own targets where none are named."""
    return settings.model_copy(update={"targets": settings.targets or family.lora_targets})


def check_sizes(settings: LoraSettings, spec: ModelSpec) -> None:
    """Raise BadInputError where a frame count or a size cannot be trained on this model."""
    for count in settings.frames:
        spec.check_frames(count)
    for width, height in settings.sizes:
        spec.check_size(Size(width=width, height=height))
