"""What enlarges pieces of video: a protocol, and what is told of a backend before it loads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from src.catalog.upscalers import UpscalerSpec, find_upscaler
from src.core.upscale_request import EnhanceSettings


class Backend(Protocol):
    """Enlarges pieces.

    name: for people. scale: of all passes. context: frames to either side that a result depends on.
    hashes: SHA-256 of its weight files by name.
    """

    name: str
    scale: int
    context: int
    hashes: dict[str, str]

    def measured(self) -> list[int]:
        """What it found free, in bytes a pass, and cuts batches and tiles by."""
        ...

    def keep_to(self, measured: list[int]) -> None:
        """Cut as a run did that measured this, whatever is free now: other tiles round otherwise."""
        ...

    def enlarge(self, frames: np.ndarray, before: int, after: int, asked: EnhanceSettings) -> Iterator[np.ndarray]:
        """frames (T, H, W, 3) uint8 or uint16, of which `before` and `after` are context.

        Yields (n, sH, sW, 3) float32 in about [0, 1], T - before - after frames in all.
        """
        ...

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """What it does to a frame that it made, before that is encoded.

        made: (sH, sW, 3), source: (H, W, 3), both float32 in [0, 1]; `made` may be changed in place.
        """
        ...


@dataclass(frozen=True)
class UpscalerChoice:
    """Which upscaler, with which of its presets, at which scale, on a device; guidance_scale only where it takes one.

    folder: of the weights, None for the spec's own.
    """

    preset: str = "fast"
    scale: int = 2
    device: str = "cpu"
    guidance_scale: float | None = None
    folder: Path | None = None
    upscaler: str = "newsreel"

    @property
    def spec(self) -> UpscalerSpec:
        """Raises BadInputError where there is none of this id."""
        return find_upscaler(self.upscaler)

    def files(self) -> list[Path]:
        """Of all passes. Raises BadInputError or MissingWeightsError where the choice cannot be."""
        return self.spec.weights(self.preset, self.scale, self.folder)

    def check(self, asked: EnhanceSettings) -> None:
        """Raise as `files` does, and for what is asked and the upscaler does not do; loads nothing."""
        self.spec.check(asked.model_dump() | {"guidance_scale": self.guidance_scale})
        self.files()
