"""DOVE's one step: the velocity at t = 399 of latents without noise, and the clean latents that it
implies (Chen et al., "DOVE", arXiv:2505.16239).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.rotary import missing_frames, padded, rotary_positions
from src.upscaling.dove.parts import DoveParts

TIMESTEP = 399
GROUP = 8
"""Frames that the VAE takes at once; clips have a multiple of it and one."""


def whole_groups(count: int) -> int:
    """The smallest 8k + 1 that is no less than count."""
    return -(-(count - 1) // GROUP) * GROUP + 1


@torch.no_grad()
def one_step(parts: DoveParts, latents: Tensor) -> Tensor:
    """Latents (1, F, C, h, w) to the clean ones, float32.

    Where a patch holds several frames the first is repeated in front, and dropped again.
    """
    patch, ratio = parts.transformer.config.patch_size_t, spatial_ratio(parts.vae.config)
    added = missing_frames(latents.shape[1], patch)
    z = padded(latents[0], patch)[None]
    height, width = (ratio * side for side in z.shape[-2:])
    time = torch.full((1,), TIMESTEP, dtype=torch.long, device=z.device)
    rotary = rotary_positions(parts.transformer, height, width, ratio, z.shape[1], z.device)
    velocity = parts.transformer(
        hidden_states=z,
        encoder_hidden_states=parts.prompt.to(z.device, z.dtype),
        timestep=time,
        image_rotary_emb=rotary,
        return_dict=False,
    )[0]
    return predicted_x0(parts.scheduler, z, velocity, time)[:, added:]


def predicted_x0(scheduler: Any, z: Tensor, velocity: Tensor, time: Tensor) -> Tensor:
    """x0 = sqrt(a) z - sqrt(1 - a) v in float32: in bfloat16 the roots alone lose two digits."""
    return scheduler.get_velocity(velocity.float(), z.float(), time)
