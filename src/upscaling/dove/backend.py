"""DOVE as a backend: pieces enlarged bilinearly and restored in one step; the VAE, and where it
must the transformer, on tiles that Hann windows join.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.memory import keep_freed_memory
from src.core.paths import REPOSITORY
from src.core.progress import ignore
from src.core.upscale_request import EnhanceSettings
from src.pipelines.cogvideox.decoding import decoded, encoded
from src.pipelines.cogvideox.describe import spatial_ratio
from src.upscaling.backends import Measured, Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.blending import Canvas, TileArea, tiles
from src.upscaling.diffusion import Placement
from src.upscaling.dove.counting import Counted
from src.upscaling.dove.parts import load_dove_parts
from src.upscaling.dove.restoring import one_step, whole_groups
from src.upscaling.enhance import finish_frame
from src.upscaling.fitting import budget_on

GRID = 16
"""Sides of what goes in are multiples of it, in pixels of the source."""
DTYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}


class DoveBackend(Measured):
    """See `Backend`. Every frame depends on the whole window, so that pieces are cut alike in every
    run. Raises as `UpscalerChoice.hashes` and `load_dove_parts` do.
    """

    window, sizes, builds = Window(most=33, overlap=4), Sizes(GRID, GRID), ()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.hashes, self.scale = choice.hashes(), choice.scale
        self.name = f"{choice.spec.id} {choice.scale}x"
        self.device = torch.device(choice.device)
        self.dtype = DTYPES[self.device.type]
        keep_freed_memory()
        folder = choice.folder or REPOSITORY / choice.spec.folder
        self.parts = load_dove_parts(folder, self.dtype, self.device.type)
        self.counted = Counted(self.parts, self.device.type, self.scale, GRID)
        self.budget = budget_on(choice.device)
        self._placement = Placement(
            self.parts.vae, self.parts.transformer, self.device, "block_level"
        )

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`. Raises NotFiniteError, OutOfMemoryError."""
        run.cancel.check()
        frames = _whole(piece.frames)
        size = (frames.shape[1], frames.shape[2])
        fitted = self.counted.fit(len(frames), size, self.budget)
        self._placement.place(fitted)
        latents = self._encoded(frames, tiles(size, fitted.tiles["encode"], GRID), run)
        latents = self._restored(latents, tiles(size, fitted.tiles["denoise"], GRID), run)
        every = tiles(size, fitted.tiles["decode"], GRID)
        for frame in self._decoded(latents, every, piece, run):
            run.cancel.check()
            yield frame[None]

    def _encoded(self, frames: np.ndarray, every: list[TileArea], run: UpscaleRun) -> np.ndarray:
        """Scaled mean latents (f, h, w, C) of 8k + 1 frames."""
        config = self.parts.vae.config
        count = (len(frames) - 1) // config.temporal_compression_ratio + 1
        whole = self._cells(TileArea(0, frames.shape[1], 0, frames.shape[2]))
        cells = [self._cells(part) for part in every]
        canvas = Canvas((count, *whole.size, config.latent_channels), cells)
        for part, place in zip(every, cells, strict=True):
            video = enlarged_part(frames, part, self.scale).to(self.device, self.dtype)
            made = config.scaling_factor * encoded(self.parts.vae, video, run.cancel)
            canvas.add(place, made[0].permute(1, 2, 3, 0).float().cpu().numpy())
        return canvas.made

    def _restored(self, latents: np.ndarray, every: list[TileArea], run: UpscaleRun) -> np.ndarray:
        """The clean latents (f, h, w, C)."""
        cells = [self._cells(part) for part in every]
        canvas = Canvas(latents.shape, cells)
        for part in cells:
            run.cancel.check()
            z = self._tensor(latents[(slice(None), *part.place)])
            made = one_step(self.parts, z.movedim(-1, 1)[None])
            self._check(made)
            canvas.add(part, made[0].movedim(1, -1).cpu().numpy())
        return canvas.made

    def _decoded(
        self, latents: np.ndarray, every: list[TileArea], piece: Stretch, run: UpscaleRun
    ) -> np.ndarray:
        """(n, sH, sW, 3) float32 in [0, 1], the body of a piece."""
        size = tuple(self.scale * side for side in piece.frames.shape[1:3])
        large = [part.times(self.scale) for part in every]
        canvas = Canvas((len(piece), *size, 3), large)
        for part, place in zip(every, large, strict=True):
            z = self._tensor(latents[(slice(None), *self._cells(part).place)]).movedim(-1, 0)
            z = z[None] / self.parts.vae.config.scaling_factor
            done = -piece.before
            for sample in decoded(self.parts.vae, z, ignore, run.cancel):
                body = self._pixels(sample)[max(0, -done) : max(0, len(piece) - done)]
                canvas.add(place, body, max(0, done))
                done += sample.shape[2]
        return canvas.made

    def _pixels(self, sample: Tensor) -> np.ndarray:
        """(1, 3, n, H, W) in [-1, 1] to (n, H, W, 3) float32 in [0, 1]."""
        self._check(sample)
        unit = (sample[0] * 0.5 + 0.5).float().clamp(0, 1)
        return unit.permute(1, 2, 3, 0).cpu().numpy()

    def _check(self, made: Tensor) -> None:
        if not is_finite(made):
            raise NotFiniteError(
                f"{self.name} made numbers that are not finite; the weights are likely damaged"
            )

    def _tensor(self, latents: np.ndarray) -> Tensor:
        return torch.from_numpy(latents).to(self.device, self.dtype)

    def _cells(self, part: TileArea) -> TileArea:
        """A tile of the source among the latents."""
        return part.times(self.scale, spatial_ratio(self.parts.vae.config))

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: low frequencies come from the source,
        and what was asked is done.
        """
        return finish_frame(np.array(made), source, self.scale, asked, None)


def _whole(frames: np.ndarray) -> np.ndarray:
    """With the last frame repeated up to 8k + 1."""
    lacking = whole_groups(len(frames)) - len(frames)
    return np.concatenate([frames, frames[-1:].repeat(lacking, 0)]) if lacking else frames


def enlarged_part(frames: np.ndarray, part: TileArea, scale: int) -> Tensor:
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
