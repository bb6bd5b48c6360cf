"""What DOVE takes of a device, counted on the meta device."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from src.core.progress import CancelToken
from src.pipelines.cogvideox.decoding import decoded, encoded, pieces
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.fast_vae import make_fast
from src.upscaling.counting import most_of, on_meta, weights_of
from src.upscaling.dove.parts import Parts
from src.upscaling.dove.restoring import one_step, silent
from src.upscaling.fitting import Weights


class Counted:
    """device: "cpu" or "cuda", whose free memory was measured with or without the weights."""

    def __init__(self, parts: Parts, device: str, scale: int) -> None:
        self.parts, self.device, self.scale = parts, device, scale
        self._known: dict[tuple[int, ...], int] = {}

    @cached_property
    def weights(self) -> Weights:
        """None on a CPU, where they lie in the memory already."""
        if self.device == "cpu":
            return Weights()
        transformer = self.parts.transformer
        return weights_of(transformer, list(transformer.transformer_blocks), self.parts.vae)

    @property
    def widest(self) -> int:
        """The longest side that the transformer's positions cover, in pixels of the source."""
        config, ratio = self.parts.transformer.config, spatial_ratio(self.parts.vae.config)
        return min(config.sample_height, config.sample_width) * ratio // self.scale

    def peak(self, frames: int, tile: tuple[int, int]) -> int:
        """Bytes beside the weights for 8k + 1 frames of a tile (height, width) in pixels of the
        source.
        """
        key = (frames, *tile)
        if key not in self._known:
            stages = Stages(self._shadow, frames, *(self.scale * side for side in tile))
            modules = [self._shadow.transformer, self._shadow.vae]
            self._known[key] = most_of([stages.encode, stages.denoise, stages.decode], modules)
        return self._known[key]

    @cached_property
    def _shadow(self) -> Parts:
        """The parts without weights."""
        vae = on_meta(self.parts.vae)
        make_fast(vae)
        scheduler, prompt = deepcopy(self.parts.scheduler), self.parts.prompt.to("meta")
        return Parts(on_meta(self.parts.transformer), vae, scheduler, prompt)


class Stages:
    """The stages of one tile: frames 8k + 1, height and width in pixels of the result."""

    def __init__(self, parts: Parts, frames: int, height: int, width: int) -> None:
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
        return one_step(self.parts, self._empty(1, self.latents, channels, *self.cells), self.size)

    def decode(self) -> None:
        """Two of the VAE's pieces."""
        vae = self.parts.vae
        two = list(pieces(vae.num_latent_frames_batch_size, self.latents))[:2][-1][1]
        z = self._empty(1, vae.config.latent_channels, two, *self.cells)
        for sample in decoded(vae, z, silent, CancelToken()):
            sample.float()

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.parts.vae.dtype, device="meta")
