"""DOVE's one step: encode, predict the velocity at t = 399 without noise, take the clean latents,
decode (Chen et al., "DOVE", arXiv:2505.16239).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from src.core.progress import CancelToken
from src.core.progress import ignore as silent
from src.pipelines.cogvideox.decoding import decoded, encoded
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.rotary import missing_frames, padded, rotary_positions
from src.upscaling.dove.parts import Parts

TIMESTEP = 399
GROUP = 8
"""Frames that the VAE takes at once; clips have a multiple of it and one."""


def whole_groups(count: int) -> int:
    """The smallest 8k + 1 that is no less than count."""
    return -(-(count - 1) // GROUP) * GROUP + 1


@torch.no_grad()
def restored(parts: Parts, video: Tensor, cancel: CancelToken) -> Iterator[Tensor]:
    """A clip (1, 3, 8k + 1, H, W) in [-1, 1], already of its final size, on the device and in the
    dtype of the parts. Yields (1, 3, n, H, W) in about [-1, 1], in order.

    Raises CancelledError before each forward.
    """
    latents = parts.vae.config.scaling_factor * encoded(parts.vae, video, cancel)
    cancel.check()
    clean = one_step(parts, latents.transpose(1, 2), video.shape[-2:])
    z = clean.transpose(1, 2) / parts.vae.config.scaling_factor
    yield from decoded(parts.vae, z.to(parts.vae.dtype), silent, cancel)


def one_step(parts: Parts, latents: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Latents (1, F, C, h, w) to the clean ones, float32; size: (height, width) in pixels.

    Where a patch holds several frames the first is repeated in front, and dropped again.
    """
    patch, ratio = parts.transformer.config.patch_size_t, spatial_ratio(parts.vae.config)
    added = missing_frames(latents.shape[1], patch)
    z = padded(latents[0], patch)[None]
    time = torch.full((1,), TIMESTEP, dtype=torch.long, device=z.device)
    velocity = parts.transformer(
        hidden_states=z,
        encoder_hidden_states=parts.prompt.to(z.device, z.dtype),
        timestep=time,
        image_rotary_emb=rotary_positions(parts.transformer, *size, ratio, z.shape[1], z.device),
        return_dict=False,
    )[0]
    return clean(parts.scheduler, z, velocity, time)[:, added:]


def clean(scheduler: Any, z: Tensor, velocity: Tensor, time: Tensor) -> Tensor:
    """x0 = sqrt(a) z - sqrt(1 - a) v in float32: in bfloat16 the roots alone lose two digits."""
    return scheduler.get_velocity(velocity.float(), z.float(), time)
