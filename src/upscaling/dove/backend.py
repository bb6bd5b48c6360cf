"""DOVE as a backend: pieces enlarged bilinearly, restored in one step, on tiles where they must."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.memory import keep_freed_memory
from src.core.paths import REPOSITORY
from src.core.upscale_request import EnhanceSettings
from src.pipelines.placement import stream
from src.upscaling.backends import Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.blending import Canvas, Part, tiles
from src.upscaling.dove.counting import Counted
from src.upscaling.dove.parts import load_parts
from src.upscaling.dove.restoring import restored, whole_groups
from src.upscaling.enhance import finish
from src.upscaling.fitting import Fit, budget_on, fit

GRID = 16
"""Sides of what goes in are multiples of it, in pixels of the source."""
DTYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}


class DoveBackend:
    """See `Backend`. Every frame depends on the whole window, so that pieces are cut alike in every
    run. Raises as `UpscalerChoice.hashes` and `load_parts` do.
    """

    window, sizes, builds = Window(most=33, overlap=4), Sizes(GRID, GRID), ()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.hashes, self.scale = choice.hashes(), choice.scale
        self.name = f"{choice.spec.id} {choice.scale}x"
        self.device = torch.device(choice.device)
        keep_freed_memory()
        kind = self.device.type
        folder = choice.folder or REPOSITORY / choice.spec.folder
        self.parts = load_parts(folder, DTYPES[kind], kind)
        self.counted = Counted(self.parts, kind, self.scale)
        self.budget = budget_on(choice.device)
        self._placed: bool | None = None

    def measured(self) -> list[int]:
        """See `Backend.measured`."""
        return [self.budget]

    def keep_to(self, measured: list[int]) -> None:
        """See `Backend.keep_to`."""
        (self.budget,) = measured

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`. Raises NotFiniteError, OutOfMemoryError."""
        run.cancel.check()
        frames = _whole(piece.frames)
        fitted = self.fitted(len(frames), frames.shape[1:3])
        self._place(fitted)
        yield from self._joined(piece, frames, fitted, run)

    def _joined(
        self, piece: Stretch, frames: np.ndarray, fitted: Fit, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """The body of a piece, frame by frame. frames: 8k + 1 of them."""
        size = frames.shape[1:3]
        every = tiles((size[0], size[1]), fitted.tile, GRID)
        large = [part.times(self.scale) for part in every]
        canvas = Canvas(len(piece), (self.scale * size[0], self.scale * size[1]), large)
        for part, place in zip(every, large, strict=True):
            done = -piece.before
            for made in self._restored(frames, part, run):
                body = made[max(0, -done) : max(0, len(piece) - done)]
                canvas.add(place, max(0, done), body)
                done += len(made)
        for frame in canvas:
            yield frame[None]

    def _restored(self, frames: np.ndarray, part: Part, run: UpscaleRun) -> Iterator[np.ndarray]:
        """(n, sh, sw, 3) float32 in about [0, 1] of a tile, in order."""
        video = enlarged_part(frames, part, self.scale)
        video = video.to(self.device, DTYPES[self.device.type])
        for sample in restored(self.parts, video, run.cancel):
            if not is_finite(sample):
                raise NotFiniteError(
                    f"{self.name} made frames that are not finite; the weights are likely damaged"
                )
            unit = (sample[0] * 0.5 + 0.5).float().clamp(0, 1)
            yield unit.permute(1, 2, 3, 0).cpu().numpy()

    def fitted(self, frames: int, size: tuple[int, ...]) -> Fit:
        """How a clip of so many frames of a size (height, width) goes through."""
        widest = self.counted.widest // GRID * GRID
        tile = min(size[0], widest), min(size[1], widest)
        peak = partial(self.counted.peak, frames)
        return fit(self.counted.weights, peak, tile, self.budget, GRID)

    def _place(self, fitted: Fit) -> None:
        """Have the weights where they are needed; once they stream, they go on streaming."""
        if self._placed or self._placed == fitted.offload:
            return
        self.parts.vae.to(self.device)
        if fitted.offload:
            stream(self.parts.transformer, self.device, "block_level")
        else:
            self.parts.transformer.to(self.device)
        self._placed = fitted.offload

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: low frequencies come from the source, and what was asked is done.
        """
        return finish(np.array(made), source, self.scale, asked, None)


def _whole(frames: np.ndarray) -> np.ndarray:
    """With the last frame repeated up to 8k + 1."""
    lacking = whole_groups(len(frames)) - len(frames)
    return np.concatenate([frames, frames[-1:].repeat(lacking, 0)]) if lacking else frames


def enlarged_part(frames: np.ndarray, part: Part, scale: int) -> Tensor:
    """A tile of frames (F, H, W, 3), uint8 or uint16, enlarged bilinearly: (1, 3, F, sh, sw)
    float32 in [-1, 1].

    One pixel beyond the tile is read, so that a tile is what the enlarged frame has there.
    """
    above, left = min(1, part.top), min(1, part.left)
    read = frames[:, part.top - above : part.bottom + 1, part.left - left : part.right + 1]
    full = float(np.iinfo(frames.dtype).max)
    given = torch.from_numpy(read.astype(np.float32)).permute(0, 3, 1, 2) * (2 / full) - 1
    large = F.interpolate(given, scale_factor=scale, mode="bilinear", align_corners=False)
    height, width = (scale * side for side in part.size)
    top, begin = scale * above, scale * left
    cut = large[..., top : top + height, begin : begin + width]
    return cut.permute(1, 0, 2, 3)[None].contiguous()
