"""What DOVE takes of a device, counted on the meta device."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from src.core.progress import CancelToken, ignore
from src.pipelines.cogvideox.architectures import COGVIDEOX_1_5_5B
from src.pipelines.cogvideox.decoding import decoded, encoded, piece_bounds
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.fast_vae import make_fast
from src.pipelines.footprint import peak_of
from src.upscaling.counting import on_meta, weights_of
from src.upscaling.dove.parts import DoveParts
from src.upscaling.dove.restoring import one_step
from src.upscaling.fitting import Fit, Stage, Tile, Weights, fit, halved

STAGES = ("encode", "denoise", "decode")
CHUNKED = 2 << 30
"""diffusers cuts what a 3D convolution takes into parts of so many bytes, along the frames alone;
parts of less than three frames are fewer than the kernel has.
"""
MOST_PARTS, PIECE = 4, 10
"""So that ten frames, the VAE's eight and two of history, stay parts of three."""


class Counted:
    """device: "cpu" or "cuda", whose free memory was measured with or without the weights."""

    def __init__(self, parts: DoveParts, device: str, scale: int, grid: int) -> None:
        self.parts, self.device, self.scale, self.grid = parts, device, scale, grid
        self._known: dict[Any, int] = {}

    def fit(self, frames: int, size: Tile, budget: int) -> Fit:
        """How 8k + 1 frames of a size go through, in pixels of the source."""
        stages = {
            name: Stage(partial(self._peak, name, frames), self._largest(name, size))
            for name in STAGES
        }
        return fit(self.weights, stages, budget, self.grid)

    @cached_property
    def weights(self) -> Weights:
        """None on a CPU, where they lie in the memory already."""
        if self.device == "cpu":
            return Weights()
        transformer = self.parts.transformer
        return weights_of(transformer, list(transformer.transformer_blocks), self.parts.vae)

    def _largest(self, stage: str, size: Tile) -> Tile:
        """The largest tile that a stage takes, whatever memory there is."""
        config, vae = self.parts.transformer.config, self.parts.vae.config
        if stage == "denoise":
            cells = min(config.sample_height, config.sample_width)
            widest = cells * spatial_ratio(vae) // self.scale // self.grid * self.grid
            return min(size[0], widest), min(size[1], widest)
        bytes_of_pixel = 2 * max(vae.block_out_channels[:2]) * PIECE
        while size[0] * size[1] * self.scale**2 * bytes_of_pixel >= MOST_PARTS * CHUNKED:
            size = halved(size, self.grid)
        return size

    def _peak(self, stage: str, frames: int, tile: Tile) -> int:
        """Bytes beside the weights for a tile in pixels of the source."""
        key = (stage, frames, tile)
        if key not in self._known:
            stages = DoveStages(self._shadow, frames, *(self.scale * side for side in tile))
            modules = [self._shadow.transformer, self._shadow.vae]
            self._known[key] = peak_of(getattr(stages, stage), modules)
        return self._known[key]

    @cached_property
    def _shadow(self) -> DoveParts:
        """The parts without weights."""
        vae = on_meta(self.parts.vae)
        make_fast(vae)
        scheduler, prompt = deepcopy(self.parts.scheduler), self.parts.prompt.to("meta")
        return DoveParts(on_meta(self.parts.transformer), vae, scheduler, prompt)


class DoveStages:
    """The stages of one tile: frames 8k + 1, height and width in pixels of the result."""

    def __init__(self, parts: DoveParts, frames: int, height: int, width: int) -> None:
        ratio = spatial_ratio(parts.vae.config)
        self.parts, self.frames, self.size = parts, frames, (height, width)
        self.cells = height // ratio, width // ratio
        self.latents = (frames - 1) // parts.vae.config.temporal_compression_ratio + 1

    def encode(self) -> Any:
        """The video, and two of the VAE's pieces: the second has the history of the first."""
        vae, video = self.parts.vae, self._empty(1, 3, self.frames, *self.size)
        two = min(self.frames, 2 * vae.num_sample_frames_batch_size + 1)
        return encoded(vae, video[:, :, :two], CancelToken())

    def denoise(self) -> Any:
        """The one forward."""
        channels = self.parts.vae.config.latent_channels
        return one_step(self.parts, self._empty(1, self.latents, channels, *self.cells))

    def decode(self) -> None:
        """Two of the VAE's pieces."""
        vae = self.parts.vae
        two = list(piece_bounds(vae.num_latent_frames_batch_size, self.latents))[:2][-1][1]
        z = self._empty(1, vae.config.latent_channels, two, *self.cells)
        for sample in decoded(vae, z, ignore, CancelToken()):
            sample.float()

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.parts.vae.dtype, device="meta")


def published_parts() -> tuple[Any, Any]:
    """Transformer and VAE of the published DOVE on the meta device: CogVideoX 1.5 for text alone,
    in float32.
    """
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    told = COGVIDEOX_1_5_5B["transformer"] | {"in_channels": 16, "ofs_embed_dim": None}
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel.from_config(told).eval()
        vae = AutoencoderKLCogVideoX.from_config(COGVIDEOX_1_5_5B["vae"]).eval()
    make_fast(vae)
    return transformer, vae
