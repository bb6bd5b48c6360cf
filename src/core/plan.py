"""The plan: a request with nothing left to decide. Frozen, hashable, written to the manifest,
replayable.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from src.core.config import Config


def _short(value: float) -> float:
    return int(value) if value == int(value) else value


Timestep = Annotated[float, PlainSerializer(_short, return_type=int | float, when_used="json")]
"""A timestep; written as an integer where it is whole, as plans have always written theirs."""


class Size(Config):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def times(self, scale: int) -> "Size":
        return Size(width=self.width * scale, height=self.height * scale)


class SessionKey(Config):
    """What a warm pipeline is bound to; plans with an equal key share one load. Fields as in
    `Profile`.

    family: which room of `src/pipelines/` runs the model. gpus: devices that make a clip together,
    a process each.
    """

    model: str
    source: str
    device: str
    dtype: str
    offload: str = "none"
    vae: str = "stock"
    compile: bool = False
    attention: str = "auto"
    quantize: str = "none"
    tiling: bool = False
    family: str = "cogvideox"
    gpus: int = 1


class Cache(Config):
    """The step cache: its name ("none" for no cache) and its threshold or interval. skipped:
    numbers (from 0) of the steps that one with a calibration skips.
    """

    name: str = "none"
    threshold: float = 0.0
    skipped: tuple[int, ...] = ()


class Distilled(Config):
    """What a distilled adapter says of itself: with it, one forward gives what guidance at
    `guidance_scale` gave in two.

    stage: "guidance", or "steps" where it also takes the model through the schedule in these
    timesteps, by this scheduler.
    """

    stage: Literal["guidance", "steps"]
    guidance_scale: float
    timesteps: tuple[Timestep, ...] = ()
    scheduler: str = ""


class Adapter(Config):
    """One LoRA adapter of a plan: file name, SHA-256 of the file, weight it is applied with, and
    what it was distilled to, None for any other.
    """

    file: str
    sha256: str
    weight: float = 1.0
    distilled: Distilled | None = None


class Upscale(Config):
    """What enlarges the delivered clip: a preset (`ID/PRESET` of another upscaler than our own),
    and by how much.
    """

    preset: str
    scale: int


class Draft(Config):
    """What makes a clip a draft: its frames are the preview decoder's.

    preview: SHA-256 of the decoder's file. frames: their size, before `delivered`.
    """

    preview: str
    frames: Size


class Division(Config):
    """How processes share a forward; `src/pipelines/parallel/division.py` has the rule.

    branches: groups of processes at a guided step, 2 where each computes one branch of guidance.
    sequence: processes of such a group, which share the tokens. unguided: processes that share the
    tokens at an unguided step; where they are fewer than all, the groups compute the same.
    """

    branches: int
    sequence: int
    unguided: int


LATER = ("upscale", "upscaler_weights", "prompts_per_forward", "filters", "finishers", "sigmas",
         "extends", "division", "draft", "attention_measured")  # fmt: skip
LATER_IN_SESSION = ("family", "gpus")
LATER_IN_CACHE = ("skipped",)
LATER_IN_ADAPTERS = ("distilled",)
"""Fields that older plans had not; where they hold their defaults, the digest leaves them out, so
that the digest of an older plan is still its own.
"""


class Plan(Config):
    """Everything a run needs; `resolve` makes it, `Session` runs it.

    session: what must be loaded. weights: SHA-256 of each weight file, by its name in the model
    folder.
    image_sha256: of the photograph's file as given. prompt, negative_prompt: final wording,
    template applied. timesteps: of the training schedule, descending. sigmas: the noise level of
    each step, of a family that matches flows; None where the timesteps say all. guidance: scale at
    each step; all 1 means no guidance.
    native: what the model makes. delivered: what the clip has, reached by `upscaler`. upscale: what
    enlarges it beyond that, None for nothing. upscaler_weights: SHA-256 of the files of both, by
    name. seed: of the run's generator. max_sequence_length: tokens of the prompt that the model
    reads. cache: of transformer blocks between steps. adapters: applied together. memory_estimate:
    bytes of device memory that the planner expects to need.
    determinism: "exact" (same machine and versions give the same frames) or "tolerance".
    prompts_per_forward: clips in one forward of the transformer; a clip made alone by such a plan
    fills the forward with copies of itself.
    filters, finishers: what works on each frame and on the finished file, by name, in order.
    extends: SHA-256 of the clip whose frames come first; "" for none. num_frames is of the new
    part, whose first frame shows the other one's last again and is not written.
    division: of the forwards among `session.gpus` processes, None for one.
    draft: what decodes instead of the VAE, None for a full clip.
    attention_measured: whether the session's attention kernel is the one that was fastest on this
    machine, or the only one, of those that compute the same sums.
    """

    mode: str
    profile: str
    session: SessionKey
    weights: dict[str, str]
    image_sha256: str
    fit: str
    prompt: str
    negative_prompt: str
    max_sequence_length: int
    scheduler: str
    timesteps: tuple[Timestep, ...]
    guidance: tuple[float, ...]
    num_frames: int
    fps: float
    native: Size
    delivered: Size
    upscaler: str
    seed: int
    score: bool
    cache: Cache = Cache()
    adapters: tuple[Adapter, ...] = ()
    memory_estimate: int = 0
    determinism: str = "exact"
    upscale: Upscale | None = None
    upscaler_weights: dict[str, str] = Field(default_factory=dict)
    prompts_per_forward: int = 1
    filters: tuple[str, ...] = ()
    finishers: tuple[str, ...] = ()
    sigmas: tuple[float, ...] | None = None
    extends: str = ""
    division: Division | None = None
    draft: Draft | None = None
    attention_measured: bool = False

    @property
    def decoded(self) -> Size:
        """The size of the decoder's frames."""
        return self.draft.frames if self.draft else self.native

    @property
    def written(self) -> Size:
        """The size of the file's frames: delivered, or enlarged."""
        return self.delivered.times(self.upscale.scale if self.upscale else 1)

    @property
    def num_inference_steps(self) -> int:
        return len(self.timesteps)

    @property
    def guidance_scale(self) -> float:
        return max(self.guidance)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the plan."""
        unused: dict[str, Any] = {name: True for name in unused_fields(self, LATER)}
        unused["session"] = unused_fields(self.session, LATER_IN_SESSION)
        unused["cache"] = unused_fields(self.cache, LATER_IN_CACHE)
        unused["adapters"] = {
            index: unused_fields(adapter, LATER_IN_ADAPTERS)
            for index, adapter in enumerate(self.adapters)
        }
        text = json.dumps(
            self.model_dump(mode="json", exclude=unused), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()


def unused_fields(config: Config, names: tuple[str, ...]) -> set[str]:
    """Which of these fields hold their defaults."""
    fields = type(config).model_fields
    return {
        name
        for name in names
        if getattr(config, name) == fields[name].get_default(call_default_factory=True)
    }
