"""Pictures to latents and back: the VAE of Stable Video Diffusion, through diffusers,
in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from src.pipelines.reading import read_part
from src.upscaling.star.spec import COLUMNS, FRAME_FACTOR, ROWS, fitting
from src.upscaling.star.windows import Blend, latent_tiles

TOGETHER = 3
"""Frames that are decoded at once, as published: the decoder mixes them over time."""
SCALE = 4
"""By which STAR was trained to enlarge."""


def load_codec(folder: Path) -> Any:
    """The VAE of a folder with its `config.json`, on the CPU. Raises BadInputError."""
    from diffusers import AutoencoderKLTemporalDecoder

    return read_part(AutoencoderKLTemporalDecoder, folder, torch.float32)


def canvas(height: int, width: int) -> tuple[int, int]:
    """Pixels of the picture that the network sees for a source of this size, at 4x."""
    rows = fitting(-(-SCALE * height // FRAME_FACTOR), ROWS)
    columns = fitting(-(-SCALE * width // FRAME_FACTOR), COLUMNS)
    return FRAME_FACTOR * rows, FRAME_FACTOR * columns


def onto_canvas(frame: Tensor) -> Tensor:
    """(3, h, w) in [0, 1] at 4x, bilinear, with its right and lower edges repeated up to the
    canvas; never white: (3, H, W) in [-1, 1].
    """
    height, width = frame.shape[1:]
    large = F.interpolate(frame[None], scale_factor=SCALE, mode="bilinear", align_corners=False)
    below, right = (
        side - SCALE * own for side, own in zip(canvas(height, width), (height, width), strict=True)
    )
    return F.pad(2 * large - 1, (0, right, 0, below), mode="replicate")[0]


class Codec:
    """A VAE on a device. most: places of latents that it takes at once; None takes a whole frame.
    check: called before each frame or group of frames.
    """

    def __init__(self, vae: Any, device: torch.device, check: Callable[[], None]) -> None:
        self.vae, self.device, self.check = vae, device, check
        self.factor = float(vae.config.scaling_factor)

    def encode(self, frames: Iterable[Tensor], most: int | None) -> Tensor:
        """Pictures of `onto_canvas` to (F, 4, h, w) float32, frame by frame; the mode, no
        sample."""
        return torch.cat([self._encoded(frame, most) for frame in frames])

    def _encoded(self, frame: Tensor, most: int | None) -> Tensor:
        self.check()
        shape = (frame.shape[1] // FRAME_FACTOR, frame.shape[2] // FRAME_FACTOR)
        parts = latent_tiles(shape, most)
        blend = Blend(parts)
        for rows, columns in parts:
            pixels = frame[:, slice(*_pixels(rows)), slice(*_pixels(columns))]
            made = self.vae.encode(pixels[None].to(self.device)).latent_dist.mode()
            blend.add(self.factor * made, rows, columns)
        return blend.result()

    def decode(self, latents: Tensor, most: int | None) -> Iterator[Tensor]:
        """(F, 4, h, w) to pictures (n, 3, H, W) in about [0, 1], a few frames at a time."""
        parts = latent_tiles((latents.shape[2], latents.shape[3]), most)
        for group in latents.split(TOGETHER):
            self.check()
            blend = Blend(parts, FRAME_FACTOR)
            for rows, columns in parts:
                blend.add(self._decoded(group[..., slice(*rows), slice(*columns)]), rows, columns)
            yield 0.5 * blend.result() + 0.5

    def _decoded(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents / self.factor, num_frames=len(latents)).sample


def _pixels(places: tuple[int, int]) -> tuple[int, int]:
    return FRAME_FACTOR * places[0], FRAME_FACTOR * places[1]
