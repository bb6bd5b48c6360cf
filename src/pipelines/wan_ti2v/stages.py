"""Wan 2.2 TI2V's parts and stages on the meta device, of which `src.pipelines.footprint` counts the
live tensors."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.core.progress import CancelToken, ignore
from src.pipelines import untrained
from src.pipelines.sides import Architecture
from src.pipelines.wan_ti2v.decoding import decoded, enable_tiling
from src.pipelines.wan_ti2v.parts import PARTS

DTYPE, WITHIN = torch.bfloat16, torch.float32
"""Of the transformer, and of the VAE and the latents between steps."""


def build_parts(architecture: Architecture) -> dict[str, nn.Module]:
    """UMT5, transformer and VAE of these configurations, untrained."""
    return untrained.untrained_parts(PARTS, architecture)


def stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> "Stages":
    """The stages of one guided clip of these parts."""
    return Stages(spec, parts["text_encoder"], parts["transformer"], parts["vae"])


class Stages:
    """One guided clip, without weights."""

    def __init__(self, spec: ModelSpec, text: Any, transformer: Any, vae: Any) -> None:
        self.spec, self.text, self.transformer, self.vae = spec, text, transformer, vae
        of_time, step = vae.config.scale_factor_temporal, vae.config.scale_factor_spatial
        frames = (spec.defaults.num_frames - 1) // of_time + 1
        self.grid = frames, spec.native.height // step, spec.native.width // step

    @property
    def _tokens(self) -> int:
        return math.prod(self.grid) // math.prod(self.transformer.config.patch_size)

    @property
    def hidden_bytes(self) -> int:
        """Of the tokens between two blocks, both branches of guidance, in 16 bit."""
        config = self.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        return 2 * self._tokens * width * DTYPE.itemsize

    def encode_text(self) -> Any:
        """One prompt through UMT5."""
        length = self.spec.max_sequence_length
        return self.text(torch.empty(1, length, dtype=torch.long, device="meta"))

    def encode_image(self) -> Any:
        """The photograph through the VAE."""
        size = self.spec.native
        return self.vae.encode(_made(WITHIN, 1, 3, 1, size.height, size.width)).latent_dist.mode()

    def denoise(self) -> Any:
        """A step: forwards with and without the prompt, one after the other."""
        latents = self._latents()
        velocity, without = self._forward(latents), self._forward(latents)
        return without + self.spec.defaults.guidance_scale * (velocity - without)

    def _forward(self, latents: Tensor) -> Tensor:
        free = _made(WITHIN, 1, 1, *self.grid)
        pasted = (1 - free) * latents[:, :, :1] + free * latents
        length, width = self.spec.max_sequence_length, self.transformer.config.text_dim
        return self.transformer(
            hidden_states=pasted.to(DTYPE),
            timestep=_made(WITHIN, 1, self._tokens),
            encoder_hidden_states=_made(DTYPE, 1, length, width),
            return_dict=False,
        )[0]

    def decode(self) -> Any:
        """The first pieces of the clip, each with the convolutions' history; the frames of one
        piece at a time."""
        latents = self._latents()
        for number, piece in enumerate(decoded(self.vae, latents, ignore, CancelToken())):
            sample = (piece[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()
            del sample
            if number == 2:
                return

    def decode_stock(self) -> Any:
        """The whole clip, all of its frames held."""
        video = self.vae.decode(self._latents(), return_dict=False)[0]
        return (video * 0.5 + 0.5).clamp(0, 1)

    def decode_tiled(self) -> Any:
        """As `decoding.decode_tiled`."""
        enable_tiling(self.vae, *self.grid[1:])
        try:
            return self.vae.decode(self._latents()).sample
        finally:
            self.vae.clear_cache()
            self.vae.disable_tiling()

    def _latents(self) -> Tensor:
        return _made(WITHIN, 1, self.vae.config.z_dim, *self.grid)


def _made(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")
