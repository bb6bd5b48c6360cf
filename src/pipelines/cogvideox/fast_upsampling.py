"""Nearest-neighbour enlarging and the convolution after it, as one convolution of the small
picture.

A 3x3 convolution of a picture enlarged twofold reads each small pixel up to four times. For each of
the four places that a new pixel can have in an old one, the weights that meet the same old pixel
are added up beforehand: four 2x2 convolutions of the small picture, 16 products a pixel in place of
36. Frames that are doubled are enlarged once.
"""

from types import MethodType

import torch
import torch.nn.functional as F
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn

MERGED = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
"""Which of three taps meet which of two old pixels: (place of the new pixel, old pixel, tap)."""


def use_merged_upsampling(vae: nn.Module) -> int:
    """Switch every upsampler of this VAE to the merged form; returns how many."""
    upsamplers = [
        module
        for module in vae.modules()
        if isinstance(module, CogVideoXUpsample3D) and _fits(module.conv)
    ]
    for upsampler in upsamplers:
        upsampler.forward = MethodType(_forward, upsampler)
        # called as ever: offload hooks fetch it
        upsampler.conv._conv_forward = MethodType(_enlarged, upsampler.conv)
    return len(upsamplers)


def _fits(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)


def _forward(self: CogVideoXUpsample3D, f: Tensor) -> Tensor:
    """(B, C, T, H, W) to (B, D, T', 2H, 2W), stored with channels last; T' is T where time is not
    enlarged.
    """
    batch, _, frames, height, width = f.shape
    small = f.movedim(1, -1).reshape(batch * frames, height, width, -1)
    made = self.conv(small.movedim(-1, 1)).movedim(1, -1).unflatten(0, (batch, frames))
    if self.compress_time and frames > 1:
        first = frames % 2  # an odd count begins with the clip's first frame, which stays single
        made = torch.cat([made[:, :first], made[:, first:].repeat_interleave(2, dim=1)], dim=1)
    return made.movedim(-1, 1)


def _enlarged(self: nn.Conv2d, small: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, C, H, W) to (N, D, 2H, 2W), stored with channels last."""
    number, _, height, width = small.shape
    places = F.conv2d(small, merged(weight), bias.repeat(4), padding=1).movedim(1, -1)
    places = places.unflatten(-1, (2, 2, -1))
    out = places.new_empty(number, height, 2, width, 2, self.out_channels)
    for down in (0, 1):
        for across in (0, 1):
            out[:, :, down, :, across] = places[
                :, down : down + height, across : across + width, down, across
            ]
    return out.reshape(number, 2 * height, 2 * width, -1).movedim(-1, 1)


def merged(weight: Tensor) -> Tensor:
    """(D, C, 3, 3) to (4D, C, 2, 2), by place: top left, top right, bottom left, bottom right;
    summed in float32.
    """
    table = MERGED.to(weight.device)
    sums = torch.einsum("pak,qbl,oikl->pqoiab", table, table, weight.float()).to(weight.dtype)
    return sums.flatten(0, 2).contiguous(memory_format=torch.channels_last)
