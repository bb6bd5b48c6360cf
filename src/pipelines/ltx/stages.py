"""LTX-Video's parts and stages on the meta device, of which `src.pipelines.footprint` counts the
live tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines import untrained
from src.pipelines.ltx.decoding import enable_tiling, told
from src.pipelines.ltx.packing import packed
from src.pipelines.ltx.parts import PARTS
from src.pipelines.sides import Architecture

DTYPE = torch.bfloat16


def build_parts(architecture: Architecture) -> dict[str, nn.Module]:
    """T5, transformer and VAE of these configurations, untrained."""
    return untrained.untrained_parts(PARTS, architecture)


def stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> "Stages":
    """The stages of one guided clip of these parts."""
    return Stages(spec, parts["text_encoder"], parts["transformer"], parts["vae"])


class Stages:
    """One guided clip, without weights; guidance is a batch of two."""

    def __init__(self, spec: ModelSpec, text: Any, transformer: Any, vae: Any) -> None:
        self.spec, self.text, self.transformer, self.vae = spec, text, transformer, vae
        step, of_time = vae.spatial_compression_ratio, vae.temporal_compression_ratio
        frames = (spec.defaults.num_frames - 1) // of_time + 1
        self.grid = frames, spec.native.height // step, spec.native.width // step
        self.scale = of_time / spec.defaults.fps, step, step

    @property
    def _tokens(self) -> int:
        frames, height, width = self.grid
        return frames * height * width

    @property
    def hidden_bytes(self) -> int:
        """Of the tokens between two blocks, both branches of guidance, in 16 bit."""
        config = self.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        return 2 * self._tokens * width * DTYPE.itemsize

    def encode_text(self) -> Any:
        """One prompt through T5."""
        length = self.spec.max_sequence_length
        return self.text(torch.empty(1, length, dtype=torch.long, device="meta"))

    def encode_image(self) -> Any:
        """The photograph through the VAE."""
        size = self.spec.native
        return self.vae.encode(_made(1, 3, 1, size.height, size.width)).latent_dist.sample()

    def denoise(self) -> Any:
        """A guided forward beside the clip's own tensors, which are float32."""
        latents, length = self._latents(torch.float32), self.spec.max_sequence_length
        velocity = self.transformer(
            hidden_states=packed(torch.cat([latents] * 2)).to(DTYPE),
            encoder_hidden_states=_made(2, length, self.transformer.config.caption_channels),
            timestep=_made(2, self._tokens), encoder_attention_mask=_made(2, length),
            num_frames=self.grid[0], height=self.grid[1], width=self.grid[2],
            rope_interpolation_scale=self.scale, return_dict=False,
        )[0].float()  # fmt: skip
        without, with_words = velocity.chunk(2)
        return without + self.spec.defaults.guidance_scale * (with_words - without)

    def decode(self) -> Any:
        """The whole clip."""
        latents = self._latents(DTYPE)
        video = self.vae.decode(latents, told(self.vae, latents), return_dict=False)[0]
        return (video[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()

    def decode_stock(self) -> Any:
        """As our loop decodes."""
        return self.decode()

    def decode_tiled(self) -> Any:
        """As `decoding.decode_tiled`."""
        enable_tiling(self.vae, *self.grid[1:])
        try:
            return self.decode()
        finally:
            self.vae.disable_tiling()

    def _latents(self, dtype: torch.dtype) -> Tensor:
        return _made(1, self.transformer.config.in_channels, *self.grid).to(dtype)


def _made(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=DTYPE, device="meta")
