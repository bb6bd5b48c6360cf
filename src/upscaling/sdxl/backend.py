"""SDXL behind the door of the backends: any backend whose frames are refined, and bicubic
enlargement, which is what `--upscaler sdxl` refines.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from src.core.paths import REPOSITORY
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import (
    Backend,
    Measured,
    Sizes,
    Stretch,
    UpscalerChoice,
    UpscaleRun,
    Window,
)
from src.upscaling.enhance import enlarge, finish_frame
from src.upscaling.fitting import budget_on
from src.upscaling.sdxl.parts import load_sdxl_parts
from src.upscaling.sdxl.refining import Refiner

DTYPES = {"cpu": torch.float32, "cuda": torch.float16}


class BicubicBackend(Measured):
    """See `Backend`: the enlargement alone."""

    window, sizes, builds = Window(), Sizes(), ()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.name, self.scale, self.hashes = "bicubic", choice.scale, choice.hashes()

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`."""
        for frame in piece.frames[piece.before : piece.before + len(piece)]:
            run.cancel.check()
            yield enlarge(_unit(frame), self.scale)[None]

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`."""
        return made


class RefinedBackend:
    """See `Backend`: another one, whose finished frames are refined before they are finished again,
    so that low frequencies are the source's.
    """

    def __init__(self, base: Backend, choice: UpscalerChoice) -> None:
        asked = choice.refinement
        assert asked is not None
        self.base, self.scale, self.builds = base, base.scale, base.builds
        self.window, self.sizes, self.hashes = base.window, base.sizes, choice.hashes()
        self.name = f"{base.name}, {asked}"
        folder = choice.refiner_folder or REPOSITORY / choice.refiner.folder
        kind = torch.device(choice.device).type
        parts = load_sdxl_parts(folder, DTYPES[kind])
        self.refiner = Refiner(parts, asked, choice.device, budget_on(choice.device) // 2)
        base.keep_to([bytes_ // 2 for bytes_ in base.measured()])  # the two take turns

    def measured(self) -> list[int]:
        """See `Backend.measured`: the refiner's last."""
        return [*self.base.measured(), self.refiner.budget]

    def keep_to(self, measured: list[int]) -> None:
        """See `Backend.keep_to`."""
        *others, self.refiner.budget = measured
        self.base.keep_to(others)

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`. The noise is one for all frames: of the seed alone."""
        place, noise = piece.before, None
        plain = settings.model_copy(update={"sharpen": 0.0, "preserve_details": 0.0})
        for batch in self.base.enlarge(piece, settings, run):
            for made in batch:
                source = _unit(piece.frames[place])
                frame = np.clip(self.base.finish(np.array(made), source, plain), 0, 1)
                if noise is None:
                    noise = run.noise(0, self.refiner.noise_shape(frame.shape[:2]))
                yield self.refiner.frame(frame, noise, run.cancel)[None]
                place += 1

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: low frequencies come from the source,
        and what was asked is done.
        """
        return finish_frame(np.array(made), source, self.scale, asked, None)


def _unit(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)
