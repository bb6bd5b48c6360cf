"""What one clip of Wan passes through its parts, on the meta device, as the stock pipeline does."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.sides import StockStages

DTYPE, WITHIN = torch.bfloat16, torch.float32
"""Of the transformer, and of the VAE and the latents between steps."""


def wan_stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
    """Of its own size and count of frames."""
    clip = WanClip(spec, parts)
    return StockStages(clip.encode_text, clip.encode_image, clip.denoise, clip.decode)


class WanClip:
    """One clip, without weights."""

    def __init__(self, spec: ModelSpec, parts: Mapping[str, Any]) -> None:
        self.spec, self.parts, self.vae = spec, parts, parts["vae"]
        self.transformer = parts["transformer"]
        of_time, step = self.vae.config.scale_factor_temporal, self.vae.config.scale_factor_spatial
        frames = (spec.defaults.num_frames - 1) // of_time + 1
        self.latent = (frames, spec.native.height // step, spec.native.width // step)

    def encode_text(self) -> Any:
        """The prompt through UMT5."""
        return self.parts["text_encoder"](_whole(1, self.spec.max_sequence_length))

    def encode_image(self) -> Any:
        """The photograph through the image encoder, where there is one, and through the VAE, with
        as many grey frames after it as the clip has."""
        if "image_encoder" in self.parts:
            self._embed()
        size, frames = self.spec.native, self.spec.defaults.num_frames
        video = _made(WITHIN, 1, 3, frames, size.height, size.width)
        return self.vae.encode(video).latent_dist.mode()

    def _embed(self) -> Tensor:
        side = self.parts["image_encoder"].config.image_size
        pixels = _made(WITHIN, 1, 3, side, side)
        return self.parts["image_encoder"](pixels, output_hidden_states=True).hidden_states[-2]

    def denoise(self) -> Any:
        """A step: forwards with and without the prompt, one after the other."""
        channels = self.vae.config.z_dim
        latents, condition = (
            _made(WITHIN, 1, count, *self.latent)
            for count in (channels, self.transformer.config.in_channels - channels)
        )
        noise = self._forward(latents, condition)
        without = self._forward(latents, condition)
        return without + self.spec.defaults.baseline_guidance_scale * (noise - without)

    def _forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        config = self.transformer.config
        told = torch.cat([latents, condition], dim=1)
        image = _made(DTYPE, 1, self._pieces(), config.image_dim) if config.image_dim else None
        return self.transformer(
            hidden_states=told.to(DTYPE),
            timestep=_whole(1),
            encoder_hidden_states=_made(DTYPE, 1, self.spec.max_sequence_length, config.text_dim),
            encoder_hidden_states_image=image,
            return_dict=False,
        )[0]

    def _pieces(self) -> int:
        """Tokens of the photograph: its patches, and one for the whole."""
        config = self.parts["image_encoder"].config
        return (config.image_size // config.patch_size) ** 2 + 1

    def decode(self) -> Any:
        """The whole clip, frame after frame of latents."""
        latents = _made(WITHIN, 1, self.vae.config.z_dim, *self.latent)
        video = self.vae.decode(latents, return_dict=False)[0]
        return (video * 0.5 + 0.5).clamp(0, 1)


def _made(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _whole(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.long, device="meta")
