"""An upscaler that repeats pixels and draws noise: what a backend is at the least, and the example
of docs/architecture.md.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from src.catalog import upscalers
from src.catalog.upscalers import UpscalerSpec
from src.core.paths import CONFIGS
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Backend, Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.registry import BACKENDS, BackendEntry

WEIGHTS = b"nearest 1"
SPEC = """
id: nearest
description: repeats pixels
backend: nearest
folder: FOLDER
licence: Apache-2.0
capabilities: {seed: true}
presets:
  plain: {passes: {2: [weights.nearest], 3: [weights.nearest]}}
  noisy: {passes: {2: [weights.nearest]}}
files:
  weights.nearest: {revision: "1", sha256: SHA256}
how_to_get: echo nearest 1 > {path}
"""


class NearestBackend:
    """See `Backend`. `noisy` adds noise, and takes four to eight frames of multiples of eight, as
    diffusion upscalers do.
    """

    builds = ()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.name, self.scale, self.hashes = (
            f"nearest {choice.preset}",
            choice.scale,
            choice.hashes(),
        )
        self.amount = 0.1 if choice.preset == "noisy" else 0.0
        self.window = Window(4, 8, 1) if self.amount else Window()
        self.sizes = Sizes(16, 8) if self.amount else Sizes()

    def measured(self) -> list[int]:
        return []

    def keep_to(self, measured: list[int]) -> None:
        assert measured == []

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        self._check(piece)
        full = np.float32(np.iinfo(piece.frames.dtype).max)
        last = len(piece.frames) - piece.after
        for place in range(piece.before, last):
            made = piece.frames[place].repeat(self.scale, 0).repeat(self.scale, 1) / full
            yield (made + self.amount * run.noise(piece.numbers[place], made.shape))[None]

    def _check(self, piece: Stretch) -> None:
        count, height, width = piece.frames.shape[:3]
        assert self.window.least <= count <= (self.window.most or count)
        assert len(piece.numbers) == count
        assert (self.sizes.filled(height), self.sizes.filled(width)) == (height, width)

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        return made


def make_nearest(choice: UpscalerChoice) -> Backend:
    return NearestBackend(choice)


def detect_nearest(path: Path) -> UpscalerSpec | None:
    """A file of its own kind."""
    if path.suffix != ".nearest":
        return None
    presets = {"plain": {"passes": {2: (path.name,)}}}
    return UpscalerSpec(id=path.stem, description="a file", backend="nearest",
                        folder=str(path.parent), presets=presets, licence="unknown",
                        how_to_get="")  # fmt: skip


NEAREST = BackendEntry(make_nearest, detect_nearest)


def write_spec(configs: Path, weights: Path, text: str = SPEC) -> None:
    """The spec, where the catalog looks for it beside our own, and its one file."""
    folder = configs / "upscalers"
    folder.mkdir(parents=True)
    weights.mkdir(exist_ok=True)
    (weights / "weights.nearest").write_bytes(WEIGHTS)
    (folder / "newsreel.yaml").write_bytes((CONFIGS / "upscalers" / "newsreel.yaml").read_bytes())
    filled = text.replace("FOLDER", str(weights)).replace(
        "SHA256", hashlib.sha256(WEIGHTS).hexdigest()
    )
    (folder / "nearest.yaml").write_text(filled)


def register(patch: pytest.MonkeyPatch, folder: Path, text: str = SPEC) -> Path:
    """The fake as the docs add it: a spec with its file, its name, and a line in the registry.

    Returns the folder of its weights.
    """
    write_spec(folder / "configs", folder / "nearest", text)
    patch.setattr(upscalers, "CONFIGS", folder / "configs")
    patch.setattr(upscalers, "UPSCALERS", ("newsreel", "nearest"))
    patch.setitem(BACKENDS, "nearest", NEAREST)
    return folder / "nearest"
