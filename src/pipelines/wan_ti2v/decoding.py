"""From clean latents to frames, by the VAE: a latent frame at a time, in tiles, or one frame for a
preview."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor

from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.pixels import to_uint8


@torch.no_grad()
def decode(
    pipe: Any, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
) -> Iterator[np.ndarray]:
    """Decode latents (1, C, F, h, w), as `finish` gives them; yields frames (n, H, W, 3) uint8 of
    one latent frame after the other, which are those of the stock decoder."""
    if tiling:
        yield decode_tiled(pipe.vae, latents, cancel)
        return
    for sample in decoded(pipe.vae, latents, listener, cancel):
        yield to_uint8(sample)


@torch.no_grad()
def decoded(vae: Any, latents: Tensor, listener: Listener, cancel: CancelToken) -> Iterator[Tensor]:
    """The pieces of `decode` as the VAE gives them, (1, 3, n, H, W) in [-1, 1].

    The convolutions' history lies in the VAE meanwhile, as in `AutoencoderKLWan._decode`.
    """
    vae.clear_cache()
    z, count = vae.post_quant_conv(latents), latents.shape[2]
    try:
        for number in range(count):
            cancel.check()
            vae._conv_idx = [0]
            piece = vae.decoder(
                z[:, :, number : number + 1], feat_cache=vae._feat_map, feat_idx=vae._conv_idx,
                first_chunk=number == 0,
            )  # fmt: skip
            listener(Progress("decode", number + 1, count))
            yield _in_range(vae, piece)
    finally:
        vae.clear_cache()


def _in_range(vae: Any, piece: Tensor) -> Tensor:
    if vae.config.patch_size is not None:
        piece = unpatchify(piece, patch_size=vae.config.patch_size)
    return piece.clamp(min=-1.0, max=1.0)


def vae_latents(pipe: Any, latents: Tensor) -> Tensor:
    """Latents (1, C, F, h, w), as `finish` gives them, are in the VAE's own scale."""
    return latents


def denormalised(vae: Any, latents: Tensor) -> Tensor:
    """Latents (1, C, F, h, w) in the VAE's own scale: x / (1 / s) + m, channel by channel."""
    mean, deviation = (
        torch.tensor(values).view(1, -1, 1, 1, 1).to(latents)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return latents / (1.0 / deviation) + mean


def decode_tiled(vae: Any, latents: Tensor, cancel: CancelToken) -> np.ndarray:
    """All frames at once, in diffusers' overlapping tiles; cancelled before each of their latent
    frames."""
    enable_tiling(vae, *latents.shape[-2:])
    stop = vae.decoder.register_forward_pre_hook(lambda *_: cancel.check())
    try:
        return to_uint8(vae.decode(latents, return_dict=False)[0])
    finally:
        stop.remove()
        vae.clear_cache()
        vae.disable_tiling()


def enable_tiling(vae: Any, height: int, width: int) -> None:
    """Tiles of about half a side of these latents, in whole cells, overlapping by a quarter where
    they are larger than three."""
    step = vae.spatial_compression_ratio
    tiles = [math.ceil(side / 2) for side in (height, width)]
    strides = [tile * 3 // 4 if tile > 3 else tile for tile in tiles]
    vae.enable_tiling(*(step * cells for cells in (*tiles, *strides)))


@torch.no_grad()
def picture(pipe: Any, estimate: Tensor) -> np.ndarray:
    """The middle frame of an estimate (1, C, F, h, w) of the clean latents: (H, W, 3) uint8."""
    vae, middle = pipe.vae, estimate.shape[2] // 2
    latents = denormalised(vae, estimate[:, :, middle : middle + 1].to(vae.dtype))
    return to_uint8(vae.decode(latents, return_dict=False)[0])[0]
