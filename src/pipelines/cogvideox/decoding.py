"""From clean latents to frames, by the VAE: in the stock pieces, in tiles, or one frame for a
preview; and from frames to latents."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.pixels import to_uint8

TILE_OVERLAP = 0.25


@torch.no_grad()
def decode(
    pipe: Any, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
) -> Iterator[np.ndarray]:
    """Decode latents (1, F, C, h, w) piece by piece; yields frames (n, H, W, 3) uint8 in order.

    The pieces and their convolution caches are those of `AutoencoderKLCogVideoX._decode`, so the
    frames are too; between pieces the run can be cancelled, and only one piece is held.
    """
    vae, z = pipe.vae, vae_latents(pipe, latents)
    if tiling:
        yield decode_tiled(vae, z)
        return
    for sample in decoded(vae, z, listener, cancel):
        yield to_uint8(sample)


def vae_latents(pipe: Any, latents: Tensor) -> Tensor:
    """Latents (1, F, C, h, w), as `finish` gives them, in the VAE's own scale: (1, C, F, h, w)."""
    return 1 / pipe.vae_scaling_factor_image * latents.permute(0, 2, 1, 3, 4)


@torch.no_grad()
def decoded(vae: Any, z: Tensor, listener: Listener, cancel: CancelToken) -> Iterator[Tensor]:
    """The pieces of `decode` as the VAE gives them, (1, 3, n, H, W) in about [-1, 1], of latents
    z (1, C, F, h, w) without their scaling."""
    cache, spans = None, list(piece_bounds(vae.num_latent_frames_batch_size, z.shape[2]))
    for number, (begin, end) in enumerate(spans, start=1):
        cancel.check()
        part = z[:, :, begin:end]
        part = part if vae.post_quant_conv is None else vae.post_quant_conv(part)
        sample, cache = vae.decoder(part, conv_cache=cache)
        listener(Progress("decode", number, len(spans)))
        yield sample


@torch.no_grad()
def encoded(vae: Any, video: Tensor, cancel: CancelToken) -> Tensor:
    """The mean latents (1, C, f, h, w), not scaled, of a video (1, 3, F, H, W) in [-1, 1].

    In the pieces of `AutoencoderKLCogVideoX._encode`, and so its latents; cancelled between them.
    """
    cache, made = None, []
    for begin, end in piece_bounds(vae.num_sample_frames_batch_size, video.shape[2]):
        cancel.check()
        part, cache = vae.encoder(video[:, :, begin:end], conv_cache=cache)
        made.append(part if vae.quant_conv is None else vae.quant_conv(part))
    return torch.cat(made, dim=2).chunk(2, dim=1)[0]


def piece_bounds(size: int, count: int) -> Iterator[tuple[int, int]]:
    """Where each piece of `count` frames begins and ends: the first has what `size` leaves over
    too."""
    begin = 0
    for piece in range(max(count // size, 1)):
        end = size * (piece + 1) + count % size
        yield begin, min(end, count)
        begin = end


def decode_tiled(vae: Any, z: Tensor) -> np.ndarray:
    """All frames at once in diffusers' overlapping tiles; only here, as tiled encoding fails on
    small sizes."""
    enable_tiling(vae, *z.shape[-2:])
    try:
        return to_uint8(vae.decode(z).sample)
    finally:
        vae.disable_tiling()


def enable_tiling(vae: Any, height: int, width: int) -> None:
    """Tiles of about half a side of these latents.

    In multiples of 4 overlapping by a quarter: other fractions round apart and misplace the tiles.
    """
    step = spatial_ratio(vae.config)
    tile = (step * 4 * math.ceil(side / 8) for side in (height, width))
    vae.enable_tiling(*tile, TILE_OVERLAP, TILE_OVERLAP)


@torch.no_grad()
def picture(pipe: Any, estimate: Tensor) -> np.ndarray:
    """The middle frame of an estimate (1, F, C, h, w) of the clean latents: (H, W, 3) uint8."""
    vae, frame = pipe.vae, estimate[:, estimate.shape[1] // 2]
    latents = (frame / pipe.vae_scaling_factor_image)[:, :, None].to(vae.dtype)
    latents = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
    pixels = vae.decoder(latents)[0][0, :, 0].float().clamp(-1, 1)
    return ((pixels.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
