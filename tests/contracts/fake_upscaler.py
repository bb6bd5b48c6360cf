"""An upscaler that repeats pixels: what a backend is at the least, and the example of docs/architecture.md."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Backend, UpscalerChoice

SPEC = """
id: nearest
description: repeats pixels
backend: nearest
folder: checkpoints/nearest
licence: Apache-2.0
presets: {balanced: {passes: {2: [], 4: []}}}
how_to_get: nothing is needed
"""


class NearestBackend:
    """See `Backend`."""

    context, hashes = 0, {}

    def __init__(self, choice: UpscalerChoice) -> None:
        self.name, self.scale = "nearest", choice.scale

    def measured(self) -> list[int]:
        return []

    def keep_to(self, measured: list[int]) -> None:
        assert measured == []

    def enlarge(
        self, frames: np.ndarray, before: int, after: int, asked: EnhanceSettings
    ) -> Iterator[np.ndarray]:
        full = np.iinfo(frames.dtype).max
        for frame in frames[before : len(frames) - after]:
            yield (frame.repeat(self.scale, 0).repeat(self.scale, 1) / np.float32(full))[None]

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        return made


def make_nearest(choice: UpscalerChoice) -> Backend:
    return NearestBackend(choice)


def write_spec(configs: Path) -> None:
    """The spec, where the catalog looks for it."""
    (configs / "upscalers").mkdir(parents=True)
    (configs / "upscalers" / "nearest.yaml").write_text(SPEC)
