"""What the trainer asks of families of this objective, beside it: sizes for its estimates, and
embedded prompts (`src.pipelines.learning.Training`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.flow_objective import FlowObjective
from src.pipelines.learning import ClipSize


class FlowTraining(ABC):
    """A subclass says the class of its transformer, how many frames a latent frame stands for, and
    the objective."""

    kind: str
    frames_a_latent: int

    @abstractmethod
    def objective(self, folder: Path) -> FlowObjective: ...

    @abstractmethod
    def objective_of(self, pipe: Any) -> FlowObjective: ...

    @abstractmethod
    def text_width(self, transformer: Any) -> int: ...

    def shapes(self, folder: Path) -> nn.Module:
        import diffusers

        kind: Any = getattr(diffusers, self.kind)
        config = kind.load_config(folder / "transformer")
        with torch.device("meta"):
            return kind.from_config(config)

    def check_some_frames(self, transformer: nn.Module) -> None:
        raise BadInputError(
            "token_frames: this model counts positions from a clip's first frame on; leave "
            "token_frames out"
        )

    def token_count(
        self,
        transformer: nn.Module,
        size: ClipSize,
        spec: ModelSpec,
        token_frames: int | None = None,
    ) -> int:
        side = spec.sizes.multiple
        cells = (size.height // side) * (size.width // side)
        return self._latent_frames(size) * cells + spec.max_sequence_length

    def latent_numbers(self, transformer: Any, size: ClipSize, spec: ModelSpec, images: int) -> int:
        cell = spec.sizes.multiple // _side(transformer.config.patch_size)
        numbers = transformer.config.out_channels * (size.height // cell) * (size.width // cell)
        return (2 * self._latent_frames(size) + images) * numbers

    def _latent_frames(self, size: ClipSize) -> int:
        return (size.num_frames - 1) // self.frames_a_latent + 1

    def width_and_depth(self, transformer: Any) -> tuple[int, int]:
        config = transformer.config
        return config.num_attention_heads * config.attention_head_dim, config.num_layers

    def embed(self, pipe: Any, prompt: str, length: int, device: torch.device) -> Tensor:
        return pipe.encode_prompt(prompt, None, False, max_sequence_length=length, device=device)[
            0
        ][0]

    def embedded(self, read: Callable[[str], Tensor]) -> Callable[..., Any]:
        return lambda prompt, *_, **__: (read(prompt), read(""))


def _side(patch: int | tuple[int, int, int]) -> int:
    """Latent cells that a token is wide."""
    return patch if isinstance(patch, int) else patch[1]
