"""What the engine and the trainer ask of a model family. A family is one room that answers all of it.

`Family` itself holds what files and requests are judged by, and imports no torch. Its sides do, and load when
they are asked for: `loop` (make a clip), `training` (fine-tune), `counting` (memory), `small` (build from nothing).
A side may be a module whose functions have these names. `families.py` is the list of families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from src.catalog.spec import ModelSpec
from src.core.plan import Plan, SessionKey, Size
from src.core.progress import CancelToken, Listener

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from src.pipelines.blueprint import Blueprint
    from src.pipelines.linear_codes import LinearCodes

Architecture = Mapping[str, Mapping[str, Any]]
"""The configuration of each part: sizes without weights."""
Pipe = Any
"""A diffusers pipeline, or what looks like one: parts by name, `scheduler`, `tokenizer`, `encode_prompt`,
`maybe_free_model_hooks`, `to`."""
Role = Literal["text", "denoiser", "vae"]


@dataclass(frozen=True)
class Part:
    """A part of a pipeline that has weights."""

    name: str
    """Its folder, and its name in the pipeline."""
    role: Role
    """What it does: the text encoder, one that denoises, the VAE."""
    classes: tuple[str, ...]
    """The classes that it may be, as model_index.json names them."""
    blocks: str = ""
    """Where its repeated blocks are, such as "transformer_blocks"; "" for a part that has none."""
    groups: tuple[str, ...] = ()
    """The modules that group offloading looks for blocks in, where it would not find them itself."""
    inside: tuple[str, ...] = ()
    """What each block is made of: attention and feed-forward with their norms, in their order."""
    attention: str = ""
    """The attention of a block, one of `inside`."""
    feed_forward: str = ""
    """The feed-forward part of a block, one of `inside`."""
    queries: str = ""
    """The layer of a block that every forward of its attention goes through."""

    def blocks_of(self, module: nn.Module) -> nn.ModuleList:
        """The repeated blocks of the loaded part."""
        return module.get_submodule(self.blocks)  # type: ignore[return-value]


@dataclass(frozen=True)
class Timesteps:
    """What a scheduler visits. sigmas: of a family that matches flows, None where timesteps say all."""

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Place:
    """What a key of a LoRA file is for: a module and a side, "A" or "B". alpha: the file's unless it says another."""

    module: str
    side: str
    alpha: float | None = None


@dataclass
class Clip:
    """One clip on its way through the steps.

    generator: the clip's own, for all that is random. latents: what the steps change, in the family's own shape.
    start: what stays the same, the family's own. x0: the estimate of the clean latents, None where there is none.
    """

    generator: torch.Generator
    latents: Tensor
    start: Any
    x0: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """One step. previous: the timestep before, None at the first. scale: of guidance, 1 for none.

    rows: clips in one forward, filled up with copies of the first.
    """

    timestep: Tensor
    previous: Tensor | None
    scale: float
    rows: int = 1


class ClipSize(Protocol):
    """Frames and pixels of a clip."""

    @property
    def num_frames(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


class Loop(Protocol):
    """Making a clip, in parts that the engine reports on, cancels between and shares among clips."""

    def load(self, folder: Path, dtype: torch.dtype, parts: Sequence[str]) -> Pipe:
        """The stock pipeline from a folder, on the CPU; of the family's parts only these, the others None."""
        ...

    def speed_up(self, pipe: Pipe, key: SessionKey) -> None:
        """Bring a fresh pipeline into the form that computes the stock sums in less time."""
        ...

    def speed_up_vae(self, vae: nn.Module) -> None:
        """The same of the VAE alone."""
        ...

    def make_scheduler(self, stock: Any, plan: Plan, device: str) -> Any:
        """A fresh scheduler of the plan's name at the plan's steps; stock: the checkpoint's own."""
        ...

    def begin(self, pipe: Pipe, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> Clip:
        """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting noise."""
        ...

    def predict(self, pipe: Pipe, clips: Sequence[Clip], step: Step) -> Sequence[Tensor]:
        """Each clip's guided prediction, in one forward of all of them."""
        ...

    def advance(self, pipe: Pipe, clip: Clip, prediction: Tensor, step: Step) -> None:
        """Move the clip's latents by one step of the scheduler."""
        ...

    def finish(self, pipe: Pipe, clip: Clip) -> Tensor:
        """The clean latents as `decode` takes them."""
        ...

    def decode(
        self, pipe: Pipe, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
    ) -> Iterator[np.ndarray]:
        """Frames (n, H, W, 3) uint8 in order, piece by piece."""
        ...

    def picture(self, pipe: Pipe, estimate: Tensor) -> np.ndarray:
        """One frame (H, W, 3) uint8 of an estimate of the clean latents: the preview."""
        ...

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """What the stock pipeline's call takes beside photograph, prompts, size, frames, steps and generator."""
        ...


class Objective(Protocol):
    """What one checkpoint is trained to do. steps: of its schedule."""

    steps: int

    def timestep(self, generator: torch.Generator, high_noise: float) -> float:
        """Draw one. high_noise: share that comes from the upper third of the schedule."""
        ...

    def clean(self, posterior: Tensor) -> Tensor:
        """The model's latents of what was drawn from the VAE's posterior (T, C, h, w)."""
        ...

    def image(self, encoded: Tensor) -> Tensor:
        """The model's latents (1, C, h, w) of the photograph's encoding (C, h, w)."""
        ...

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The noisy latents at these timesteps (B,)."""
        ...

    def errors(self, predicted: Tensor, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """How far each prediction for such latents is from what it should be, weighted, in float32: (B,)."""
        ...

    def losses(self, model: nn.Module, transformer: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """The objective of each sample of an adapter's batch: (B,). model: what `denoiser` made of the transformer,
        wrapped or not.

        batch: clean, noise, image, shown (whether the photograph is given), text, timestep and size.
        """
        ...

    def denoiser(self, transformer: nn.Module, dtype: torch.dtype) -> nn.Module:
        """The trained part as a module whose forward `losses` calls, once a batch."""
        ...


class Training(Protocol):
    """Fine-tuning a checkpoint of the family."""

    def objective(self, folder: Path) -> Objective:
        """From the checkpoint's files alone. Raises BadInputError for one that cannot be trained."""
        ...

    def objective_of(self, pipe: Pipe) -> Objective:
        """The same of a pipeline in memory."""
        ...

    def shapes(self, folder: Path) -> nn.Module:
        """The part that is trained, without its weights."""
        ...

    def token_count(self, transformer: nn.Module, size: ClipSize, spec: ModelSpec) -> int:
        """Video and text tokens of one sample."""
        ...

    def latent_numbers(self, transformer: nn.Module, size: ClipSize, spec: ModelSpec, images: int) -> int:
        """Numbers that a clip's posterior and so many encoded photographs take in the cache."""
        ...

    def width_and_depth(self, transformer: nn.Module) -> tuple[int, int]:
        """Channels of a token, and how many blocks it passes."""
        ...

    def text_width(self, transformer: nn.Module) -> int:
        """Channels of an embedded prompt's token."""
        ...


class Stages(Protocol):
    """The stages of one guided clip on the meta device, for their peaks of live tensors."""

    hidden_bytes: int

    def encode_text(self) -> Any: ...

    def encode_image(self) -> Any: ...

    def denoise(self) -> Any: ...

    def decode(self) -> Any: ...

    def decode_tiled(self) -> Any: ...


class Counting(Protocol):
    """Counting memory without weights."""

    def build_parts(self, architecture: Architecture) -> dict[str, nn.Module]:
        """The parts of these configurations, untrained, on the device and in the dtype that torch has as default."""
        ...

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> Stages: ...


class Small(Protocol):
    """Small models of the family, built from nothing: for the repository's own one, and for tests."""

    def assemble(self, blueprint: Blueprint, tokenizer: Any, seed: int) -> Pipe:
        """The whole pipeline in memory, untrained, in float32 on the CPU."""
        ...

    def form(self, blueprint: Blueprint) -> Mapping[str, Mapping[str, Any]]:
        """What the configuration files of its parts say of the sizes that decide the weights' shapes and meaning."""
        ...

    def install(self, codes: LinearCodes, vae: Any) -> None:
        """Give the encoder, in place, the weights that compute these codes as its posterior mean."""
        ...

    def see_frames_alone(self, decoder: nn.Module) -> None:
        """Silence, in place, what the decoder takes from earlier frames."""
        ...

    def use_frames_alone(self, decoder: nn.Module) -> int:
        """Let a decoder that takes nothing from earlier frames compute a third; returns how many layers changed."""
        ...

    def positions(self, pipe: Pipe, size: Size, token_frames: int, latent_frames: int) -> Tensor:
        """Where the tokens of so many frames are, for `denoise`: (2, token_frames, tokens of a frame, D)."""
        ...

    def condition(self, image: Tensor, latent_frames: int, kept: Tensor) -> Tensor:
        """What `denoise` is told of the photograph's latents (B, 1, C, h, w); kept (B,): whether each is given."""
        ...

    def denoise(
        self, transformer: nn.Module, noisy: Tensor, condition: Tensor, text: Tensor, timesteps: Tensor,
        positions: Tensor,
    ) -> Tensor:  # fmt: skip
        """The prediction for noisy latents (B, F, C, h, w). positions: (2, tokens, D)."""
        ...


class Family(Protocol):
    """A family of models, as files and requests are judged by."""

    name: str
    """As `ModelSpec.family` says it."""
    title: str
    """As people write it."""
    pipelines: tuple[str, ...]
    """What model_index.json of its folders calls the whole (`_class_name`)."""
    parts: tuple[Part, ...]
    others: Mapping[str, tuple[str, ...]]
    """Parts without weights, and the classes that they may be."""
    tokenizers: tuple[str, ...]
    """Folders that must hold a tokenizer's file."""
    schedulers: tuple[str, ...]
    """Names that a request may ask for, the usual one first."""
    architectures: Mapping[str, Architecture]
    """Of known models, by id: so that they can be counted where their folders are not."""
    lora_targets: tuple[str, ...]
    """The layers that an adapter sits on unless it is told others."""

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        """The spec of a folder, from its configuration files alone. read: one of them, as a mapping.

        Raises KeyError, TypeError or ValueError where they are not of this family.
        """
        ...

    def timesteps(self, count: int, spec: ModelSpec, stock: bool) -> Timesteps:
        """What so many steps visit. stock: as the checkpoint's own scheduler file says."""
        ...

    def lora_place(self, key: str) -> Place | None:
        """What a key says that only trainers of this family write; None for any other."""
        ...

    @property
    def loop(self) -> Loop: ...

    @property
    def counting(self) -> Counting: ...

    @property
    def training(self) -> Training | None:
        """None for a family that no adapter is trained for."""
        ...

    @property
    def small(self) -> Small | None:
        """None for a family that is not built from nothing."""
        ...


def parts_of(family: Family, role: Role) -> tuple[Part, ...]:
    """The parts that do one thing, in their order."""
    return tuple(part for part in family.parts if part.role == role)
