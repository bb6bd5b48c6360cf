"""The fake on the meta device (`src.pipelines.family.Counting`)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.fake.parts import CELL, CHANNELS, KINDS, TIME, WIDTH
from src.pipelines.sides import Architecture


def build_parts(architecture: Architecture) -> dict[str, nn.Module]:
    return {name: kind() for name, kind in KINDS.items()}


def stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> "Stages":
    return Stages(spec, parts)


class Stages:
    """The stages of one guided clip."""

    def __init__(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> None:
        self.spec, self.parts = spec, parts
        frames = (spec.defaults.num_frames - 1) // TIME + 1
        self.cells = frames, spec.native.height // CELL, spec.native.width // CELL
        self.hidden_bytes = 2 * 2 * frames * self.cells[1] * self.cells[2] * WIDTH

    def encode_text(self) -> Any:
        return self.parts["words"](
            torch.zeros(self.spec.max_sequence_length, dtype=torch.long, device="meta")
        )

    def encode_image(self) -> Any:
        coder: Any = self.parts["pixels"]
        return coder.encode(self._empty(1, 3, self.spec.native.height, self.spec.native.width))

    def denoise(self) -> Any:
        words = self._empty(2, self.spec.max_sequence_length, WIDTH)
        return self.parts["mover"](self._empty(2, 2 * CHANNELS, *self.cells), self._empty(2), words)

    def decode(self) -> Any:
        coder: Any = self.parts["pixels"]
        return coder.decode(self._empty(1, CHANNELS, *self.cells[1:]))

    decode_tiled = decode_stock = decode

    @staticmethod
    def _empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.bfloat16, device="meta")
