"""Layouts of channels in memory for which a pixel shuffle copies whole runs, and the bicubic skip
that detail is added to.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def shuffled(last: torch.nn.Conv2d, side: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of what comes before a pixel shuffle, the channels of a pixel together."""
    order = torch.arange(last.out_channels).view(-1, side * side).t().flatten()
    return channels_last(last.weight[order]), bias_of(last)[order]


def bias_of(layer: torch.nn.Conv2d) -> Tensor:
    return cast(Tensor, layer.bias)


def filled(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """With channels of nothing up to a multiple of eight, which processors compute faster."""
    lacking = filled_count(len(weight)) - len(weight)
    weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, lacking))
    return channels_last(weight), F.pad(bias, (0, lacking))


def filled_count(channels: int) -> int:
    """How many `filled` makes of them."""
    return -(-channels // 8) * 8


def channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def as_nhwc(x: Tensor) -> Tensor:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def as_nchw(rows: Tensor) -> Tensor:
    """(N, H, W, C) seen as (N, C, H, W)."""
    return rows.permute(0, 3, 1, 2)


def spread_runs(rows: Tensor, side: int) -> Tensor:
    """(N, h, w, side side C), as `shuffled` orders them, seen as (N, h, side, w, side C)."""
    return rows.unflatten(3, (side, -1)).transpose(2, 3)


def runs_of(rows: Tensor, side: int) -> Tensor:
    """(N, H, W, C) seen as (N, h, side, w, side C)."""
    n, height, width, channels = rows.shape
    return rows.reshape(n, height // side, side, width // side, side * channels)


def pixels_of(runs: Tensor, channels: int) -> Tensor:
    """The opposite of `runs_of`, as (N, C, H, W)."""
    n, high, side, wide, _ = runs.shape
    return runs.reshape(n, high * side, wide * side, channels).permute(0, 3, 1, 2)


def with_detail(frames: Tensor, detail: Tensor, scale: int) -> Tensor:
    """Frames (N, 3, H, W) enlarged as `VideoNetwork.skip` does it, and detail (N, H, W, at least
    3 scale scale) added, as `shuffled` orders it: (N, 3, sH, sW).
    """
    detail = detail[..., : 3 * scale**2]
    return pixels_of(runs_of(_cubic(frames, scale), scale).add_(spread_runs(detail, scale)), 3)


def _cubic(frames: Tensor, scale: int) -> Tensor:
    """(N, 3, H, W) to (N, sH, sW, 3) float32; on a CPU by OpenCV, whose cubic is the same one."""
    if frames.device.type != "cpu":
        large = F.interpolate(frames.float(), scale_factor=scale, mode="bicubic")
        return as_nhwc(large).contiguous()
    pictures = as_nhwc(frames.float()).contiguous().numpy()
    n, height, width, _ = pictures.shape
    made = np.empty((n, scale * height, scale * width, 3), np.float32)
    for picture, out in zip(pictures, made, strict=True):
        cv2.resize(picture, out.shape[1::-1], dst=out, interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(made)
