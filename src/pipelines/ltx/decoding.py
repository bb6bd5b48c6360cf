"""From clean latents to frames, by the VAE: all at once, as its decoder looks both ways in time; in
tiles, or one frame for a preview."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from src.core.progress import CancelToken, Listener
from src.pipelines.passing import passing
from src.pipelines.pixels import to_uint8

TIMESTEP, NOISE = 0.05, 0.025
"""What the cards of the later forms ask for: the timestep that the decoder is told, and the share
of noise in what it is given."""


@torch.no_grad()
def decode(
    pipe: Any, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
) -> Iterator[np.ndarray]:
    """Decode latents (1, C, F, h, w), as `finish` gives them, to frames (n, H, W, 3) uint8, in one
    piece. Cancelled before each part of the decoder, of which progress is told."""
    vae = pipe.vae
    if tiling:
        yield decode_tiled(vae, latents, cancel)
        return
    with passing(decoder_parts(vae), listener, cancel):
        video = vae.decode(latents, told(vae, latents), return_dict=False)[0]
    yield to_uint8(video)


def decoder_parts(vae: Any) -> list[torch.nn.Module]:
    """What a clip passes in the decoder, in order."""
    decoder = vae.decoder
    return [decoder.conv_in, decoder.mid_block, *decoder.up_blocks, decoder.conv_out]


def told(vae: Any, latents: Tensor) -> Tensor | None:
    """The timestep (1,) that the decoder is told; None for a VAE that takes none."""
    return latents.new_tensor([TIMESTEP]) if vae.config.timestep_conditioning else None


def with_decoder_noise(vae: Any, latents: Tensor, generator: torch.Generator) -> Tensor:
    """The latents with noise in them, where the decoder takes it away."""
    if not vae.config.timestep_conditioning:
        return latents
    noise = randn_tensor(latents.shape, generator, latents.device, latents.dtype)
    share = latents.new_tensor([NOISE])[:, None, None, None, None]
    return (1 - share) * latents + share * noise


def vae_latents(pipe: Any, latents: Tensor) -> Tensor:
    """Latents (1, C, F, h, w), as `finish` gives them, are in the VAE's own scale."""
    return latents


def denormalised(vae: Any, latents: Tensor) -> Tensor:
    """Latents (1, C, F, h, w) in the VAE's own scale: x s / f + m, channel by channel."""
    mean, deviation = (
        values.view(1, -1, 1, 1, 1).to(latents) for values in (vae.latents_mean, vae.latents_std)
    )
    return latents * deviation / vae.config.scaling_factor + mean


def decode_tiled(vae: Any, latents: Tensor, cancel: CancelToken) -> np.ndarray:
    """All frames at once, in diffusers' overlapping tiles; cancelled before each."""
    enable_tiling(vae, *latents.shape[-2:])
    stop = vae.decoder.register_forward_pre_hook(lambda *_: cancel.check())
    try:
        return to_uint8(vae.decode(latents, told(vae, latents), return_dict=False)[0])
    finally:
        stop.remove()
        vae.disable_tiling()


def enable_tiling(vae: Any, height: int, width: int) -> None:
    """Tiles of about half a side of these latents, in whole cells, overlapping by a quarter where
    they are larger than three."""
    step = vae.spatial_compression_ratio
    tiles = [math.ceil(side / 2) for side in (height, width)]
    strides = [tile * 3 // 4 if tile > 3 else tile for tile in tiles]
    vae.enable_tiling(
        tile_sample_min_height=step * tiles[0],
        tile_sample_min_width=step * tiles[1],
        tile_sample_stride_height=step * strides[0],
        tile_sample_stride_width=step * strides[1],
    )


@torch.no_grad()
def picture(pipe: Any, estimate: Tensor) -> np.ndarray:
    """The middle frame of an estimate (1, C, F, h, w) of the clean latents: (H, W, 3) uint8."""
    vae, middle = pipe.vae, estimate.shape[2] // 2
    latents = denormalised(vae, estimate[:, :, middle : middle + 1]).to(vae.dtype)
    return to_uint8(vae.decode(latents, told(vae, latents), return_dict=False)[0])[0]
