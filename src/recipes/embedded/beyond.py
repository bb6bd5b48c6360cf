"""What training shows beyond the photograph's edges: its reflection, the softer the farther out.

What lies there nobody knows. The mean of all that may be there is a smear, and learned as a mean of
noise it came as a pattern of the token grid that stood still while the picture moved. A reflection
is a function of the photograph, moves with the camera, and claims nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from src.recipes.embedded.guide import inside, sources

ROOM = 112
"""Pixels around the photograph at 240x160: more than any move of the scenes shows."""
SOFTEST = 5
"""Halvings of the resolution where the reflection is softest."""
SOFTENS = 4.0
"""Pixels outwards in which the first halving becomes the second."""


def with_reflection(videos: Tensor, motions: Tensor) -> Tensor:
    """The clips (B, 3, F, H, W), first frame the photograph, with its soft reflection wherever
    they show what it does not.

    motions: (B, F, 2, 3), from pixels of the first frame to those of each.
    """
    height, width = videos.shape[-2:]
    places = sources(motions, (height, width), 1).unflatten(2, (height, width))
    room = min(ROOM, height - 1, width - 1)
    around = reflection(videos[:, :, 0], room)
    size = places.new_tensor([width + 2 * room - 1, height + 2 * room - 1])
    unit = (places + room) * 2 / size - 1
    beyond = F.grid_sample(
        around, unit.flatten(1, 2), "bilinear", "border", align_corners=True
    ).unflatten(2, (videos.shape[2], height))
    known = inside(places, (height, width))
    return torch.where(known[:, None], videos, beyond)


def reflection(photographs: Tensor, room: int) -> Tensor:
    """Photographs (B, 3, H, W) with `room` pixels around them: (B, 3, H + 2 room, W + 2 room)."""
    wide = F.pad(photographs, (room, room, room, room), "reflect")
    outwards = _outwards(photographs.shape[-2:], room, photographs.device)
    level = torch.log2(2 + outwards / SOFTENS).clamp(max=SOFTEST)
    softened = torch.zeros_like(wide)
    for halvings in range(1, SOFTEST + 1):
        small = F.avg_pool2d(wide, 2**halvings, ceil_mode=True, count_include_pad=False)
        soft = F.interpolate(small, size=wide.shape[-2:], mode="bilinear")
        softened += soft * (1 - (level - halvings).abs()).clamp(min=0)
    return softened


def _outwards(size: tuple[int, int], room: int, device: torch.device) -> Tensor:
    """How far beyond the photograph's edges each pixel lies: (H + 2 room, W + 2 room)."""
    rows, columns = (torch.arange(-room, length + room, device=device).float() for length in size)
    beyond = [
        torch.maximum(-axis, axis - (length - 1)).clamp(min=0)
        for axis, length in zip((rows, columns), size, strict=True)
    ]
    return torch.hypot(beyond[0][:, None], beyond[1][None])
