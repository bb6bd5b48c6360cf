"""What the engine and the trainer ask of a model family: a family is one room that answers it.

`Family` itself holds what files and requests are judged by, and imports no torch. Its sides
(`sides.py`, `learning.py`) do, and load when they are asked for: `stock` (diffusers' own pipeline),
`loop` (make a clip), `divided` (the same in several processes), `training` (fine-tune), `counting`
(memory), `small` (build from nothing). `families.py` is the list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.learning import Small, Training
from src.pipelines.sides import Architecture, Counting, Divided, Loop, Stock

if TYPE_CHECKING:
    from torch import nn

Role = Literal["text", "image", "denoiser", "vae"]


@dataclass(frozen=True)
class Part:
    """A part of a pipeline that has weights."""

    name: str
    """Its folder, and its name in the pipeline."""
    role: Role
    """What it does: reads the prompt, looks at the photograph, denoises, is the VAE."""
    classes: tuple[str, ...]
    """The classes that it may be, as model_index.json names them."""
    blocks: str = ""
    """Where its repeated blocks are, such as "transformer_blocks"; "" for a part that has none."""
    later: str = ""
    """Where a second list of blocks is, which the first is followed by; "" where there is one."""
    groups: tuple[str, ...] = ()
    """The modules that group offloading looks for blocks in, where it would not find them
    itself."""
    inside: tuple[str, ...] = ()
    """What each block is made of: attention and feed-forward with their norms, in their order."""
    attention: str = ""
    """The attention of a block, one of `inside`."""
    feed_forward: str = ""
    """The feed-forward part of a block, one of `inside`."""
    time: str = ""
    """The layer that embeds the timestep; "" for a part whose caches are not calibrated."""
    queries: str = ""
    """The layer of a block that every forward of its attention goes through."""
    optional: bool = False
    """Whether a folder may be without it, as its model_index.json says."""
    full: bool = False
    """Whether it runs in float32 whatever the others run in, as the model's card asks."""

    def blocks_of(self, module: nn.Module) -> nn.ModuleList:
        """The repeated blocks of the loaded part, in the order that they compute in."""
        blocks: Any = module.get_submodule(self.blocks)
        if not self.later:
            return blocks
        from torch import nn

        return nn.ModuleList([*blocks, *cast(Any, module.get_submodule(self.later))])


@dataclass(frozen=True)
class Attention:
    """A block's attention among the tokens of a clip: heads, numbers in each of them, tokens.
    heads_first: whether torch's kernels are given queries and keys that lie in memory as (B, heads,
    N, D), not (B, N, heads, D).
    """

    heads: int
    head_dim: int
    tokens: int
    heads_first: bool = False


@dataclass(frozen=True)
class Timesteps:
    """What a scheduler visits. sigmas: of a family that matches flows, None where timesteps say
    all."""

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Place:
    """What a key of a LoRA file is for: a module and a side, "A" or "B". alpha: the file's unless
    it says another."""

    module: str
    side: str
    alpha: float | None = None


class Family(Protocol):
    """A family of models, as files and requests are judged by."""

    name: str
    """As `ModelSpec.family` says it."""
    title: str
    """As people write it."""
    modes: tuple[str, ...]
    """In which it runs, of a request's; "baseline" alone for one without a loop of our own."""
    reads_prompt: bool
    """Whether words have an effect."""
    reads_negative: bool
    """Whether a negative prompt has one; not where guidance is a part of the model."""
    pipelines: tuple[str, ...]
    """What model_index.json of its folders calls the whole (`_class_name`)."""
    marks: Mapping[str, bool]
    """Settings beside that class which its folders have, and no other family's of this class; what
    an index leaves out is False."""
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
        """The spec of a folder, from its configuration files alone. read: one of them, as a
        mapping.

        Raises KeyError, TypeError or ValueError where they are not of this family.
        """
        ...

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """What so many steps visit. stock: as the checkpoint's own scheduler file says. num_frames:
        of the clip, the model's own count unless given; some schedules depend on it."""
        ...

    def lora_place(self, key: str) -> Place | None:
        """What a key says that only trainers of this family write; None for any other."""
        ...

    def heads(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> int | None:
        """Attention heads of what denoises in a folder, which several processes may share; None for
        a family that one process computes."""
        ...

    def attention(
        self, folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan
    ) -> Attention | None:
        """What a plan's clip asks of the attention; None for a family whose attention takes no
        other kernel."""
        ...

    @property
    def stock(self) -> Stock: ...

    @property
    def loop(self) -> Loop:
        """Raises BadInputError for a family that runs in mode baseline alone."""
        ...

    @property
    def divided(self) -> Divided | None:
        """None for a family that one process computes."""
        ...

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
