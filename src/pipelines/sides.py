"""The sides of a family that make a clip and count its memory. Read `family.py` first.

A side may be a module whose functions have these names. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from src.catalog.spec import ModelSpec
from src.core.plan import Plan, SessionKey
from src.core.progress import CancelToken, Listener

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from src.pipelines.parallel.ranks import Ranks

Architecture = Mapping[str, Mapping[str, Any]]
"""The configuration of each part: sizes without weights."""
Pipe = Any
"""A diffusers pipeline, or what looks like one: parts by name, `scheduler`, `tokenizer`,
`encode_prompt`, `maybe_free_model_hooks`, `to`."""


@dataclass
class ClipState:
    """One clip on its way through the steps.

    generator: the clip's own, for all that is random. latents: what the steps change, in the
    family's own shape. start: what stays the same, the family's own. x0: the estimate of the clean
    latents, None where there is none.
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


class Stock(Protocol):
    """The family's stock pipeline."""

    def load(
        self, folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]
    ) -> Pipe:
        """The stock pipeline from a folder, on the CPU; of the family's parts only these, the
        others None. read: those of them that were read and checked already, by name."""
        ...

    def make_scheduler(self, stock: Any, plan: Plan, device: str) -> Any:
        """A fresh scheduler of the plan's name at the plan's steps; stock: the checkpoint's own."""
        ...

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """What the stock pipeline's call takes beside photograph, size, frames, steps and
        generator: the prompts, if it reads any, guidance and what else is the family's."""
        ...


class Loop(Protocol):
    """Making a clip, in parts that the engine reports on, cancels between and shares among
    clips."""

    def speed_up(self, pipe: Pipe, key: SessionKey) -> None:
        """Bring a fresh pipeline into the form that computes the stock sums in less time."""
        ...

    def speed_up_vae(self, vae: nn.Module) -> None:
        """The same of the VAE alone."""
        ...

    def use_kernel(self, pipe: Pipe, name: str) -> None:
        """Let what denoises attend by an optional kernel (`attention_kernels.py`). Raises
        SwitchError where it does not load, or the family's attention takes none."""
        ...

    def begin(
        self, pipe: Pipe, plan: Plan, pixels: np.ndarray, generator: torch.Generator
    ) -> ClipState:
        """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting
        noise."""
        ...

    def predict(self, pipe: Pipe, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
        """Each clip's guided prediction, in one forward of all of them."""
        ...

    def advance(self, pipe: Pipe, clip: ClipState, prediction: Tensor, step: Step) -> None:
        """Move the clip's latents by one step of the scheduler."""
        ...

    def finish(self, pipe: Pipe, clip: ClipState) -> Tensor:
        """The clean latents as `decode` takes them."""
        ...

    def decode(
        self,
        pipe: Pipe,
        latents: Tensor,
        listener: Listener,
        cancel: CancelToken,
        tiling: bool = False,
    ) -> Iterator[np.ndarray]:
        """Frames (n, H, W, 3) uint8 in order, piece by piece."""
        ...

    def vae_latents(self, pipe: Pipe, latents: Tensor) -> Tensor:
        """What `finish` gave as (1, C, F, h, w) in the scale of the VAE's posterior: what a preview
        decoder is given."""
        ...

    def picture(self, pipe: Pipe, estimate: Tensor) -> np.ndarray:
        """One frame (H, W, 3) uint8 of an estimate of the clean latents: the preview."""
        ...


class Divided(Protocol):
    """Making a clip in several processes, a device each."""

    def divide(self, pipe: Pipe, ranks: Ranks) -> Loop:
        """Teach a loaded pipeline to compute its share; the loop that does. Called once."""
        ...


class StageCounter(Protocol):
    """The stages of one guided clip on the meta device, for their peaks of live tensors."""

    @property
    def hidden_bytes(self) -> int:
        """Of the tokens between two blocks, both branches of guidance, in 16 bit."""
        ...

    def encode_text(self) -> Any: ...

    def encode_image(self) -> Any: ...

    def denoise(self) -> Any: ...

    def decode(self) -> Any: ...

    def decode_tiled(self) -> Any: ...

    def decode_stock(self) -> Any:
        """As the stock pipeline decodes, with the stock VAE."""
        ...


@dataclass(frozen=True)
class StockStages:
    """The same of a family that runs as diffusers has it: what its pipeline does of one clip."""

    encode_text: Callable[[], Any]
    encode_image: Callable[[], Any]
    denoise: Callable[[], Any]
    decode: Callable[[], Any]


class Counting(Protocol):
    """Counting memory without weights."""

    def build_parts(self, architecture: Architecture) -> dict[str, nn.Module]:
        """The parts of these configurations, untrained, on the device and in the dtype that torch
        has as default."""
        ...

    def stages(
        self, spec: ModelSpec, parts: Mapping[str, nn.Module]
    ) -> StageCounter | StockStages: ...
