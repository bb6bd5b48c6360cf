"""A network as a processor computes it fastest: the sums of `VideoNetwork`, in another order.

Two linear layers with nothing that bends between them are one. What the alignment needs of a frame
is computed once a frame, not once a neighbour. Channels are ordered so that a shuffle copies whole
runs of them, and the skip is OpenCV's cubic, which is the same one.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from src.upscaling.builds.forms import Around
from src.upscaling.network import VideoNetwork


class FoldedForm:
    """See `Form`: float32 on a CPU. The network's weights must not change any more: some are
    copied.

    The features at half size that `features` gives are the network's own, and beside them what
    the alignment reads and compares.
    """

    name = "torch fp32"

    @torch.no_grad()
    def __init__(self, network: VideoNetwork) -> None:
        spec = network.spec
        self.network, self.scale = network, spec.scale
        self.align = _Alignment(network) if spec.align else None
        down = network.down.weight.reshape(-1, spec.channels, 2, 2)
        self.down = _channels_last(down), network.down.bias
        weight, bias = _shuffled(network.up, 2)
        self.up = weight[:, :, 0, 0].contiguous(), bias
        self.tail = _filled(*_shuffled(network.tail, spec.scale))

    @torch.inference_mode()
    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        network = self.network
        x = F.leaky_relu_(network.encode(stacked), 0.1)
        x = network.before(network.told_before(x, told))
        y = F.conv2d(x, *self.down, stride=2)
        return x, self.align.prepared(y) if self.align else y

    @torch.inference_mode()
    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        network = self.network
        fused = self.align(*around) if self.align else around[1]
        x = network.after(self._joined(x, network.attend(fused), told))
        detail = _rows(F.conv2d(x, *self.tail, padding=1))[..., : 3 * self.scale**2]
        return _pixels(_runs(self._skip(frames), self.scale).add_(_spread(detail, self.scale)), 3)

    def _joined(self, x: Tensor, trunk: Tensor, told: Tensor) -> Tensor:
        """`told_after` of x and what the trunk adds to it, in one pass."""
        weight, bias = self.up
        scale, shift = self.network.told_after.linear(told[0]).chunk(2)
        scale = (1 + scale).repeat(4)
        added = F.linear(_rows(trunk), weight * scale[:, None], bias * scale + shift.repeat(4))
        runs = _runs(_rows(x), 2)
        scale = scale[: runs.shape[-1]]
        made = torch.addcmul(_spread(added, 2), runs, scale, out=torch.empty_like(runs))
        return _pixels(made, x.shape[1])

    def _skip(self, frames: Tensor) -> Tensor:
        """`VideoNetwork.skip` of (N, 3, H, W): (N, sH, sW, 3)."""
        pictures = _rows(frames.float()).contiguous().numpy()
        n, height, width, _ = pictures.shape
        made = np.empty((n, self.scale * height, self.scale * width, 3), np.float32)
        for picture, out in zip(pictures, made, strict=True):
            cv2.resize(picture, out.shape[1::-1], dst=out, interpolation=cv2.INTER_CUBIC)
        return torch.from_numpy(made)


class _Alignment:
    """`DeformableAlignment` of both neighbours and `VideoNetwork.fuse`, from prepared features."""

    def __init__(self, network: VideoNetwork) -> None:
        align, trunk = network.align, network.spec.trunk
        self.groups, self.taps, self.bound = align.groups, align.taps, align.bound
        self.places, self.value = cast(Tensor, align.places), align.value
        self.compare = _apart(align.compare, trunk)
        middle = align.compare.out_channels
        self.parts = (trunk, align.value.out_channels, middle, middle)
        self.offsets = self._sorted(align.offsets)
        own, *others = network.fuse.weight[:, :, 0, 0].split(trunk, 1)
        merge = align.merge.weight[:, :, 0, 0]
        bias = _bias(network.fuse) + sum(others, torch.zeros_like(own)) @ _bias(align.merge)
        self.own = (own + torch.eye(trunk), bias)
        # 2: of the weights, which are twice a sigmoid
        self.others = [(2 * other @ merge).t().contiguous() for other in others]

    def prepared(self, y: Tensor) -> Tensor:
        """(N, D, h, w) to (N, D + A + 2 M, h, w): itself, what is sampled, and what is compared of
        it as the frame and as the neighbour.
        """
        compared = F.conv2d(y, *self.compare, padding=1)
        return torch.cat([y, self.value(y), compared], 1)

    def __call__(self, before: Tensor, y: Tensor, after: Tensor) -> Tensor:
        """See `VideoNetwork.trunk`, up to the fusion; takes what `prepared` gives."""
        own, _, compared, _ = y.split(self.parts, 1)
        fused = F.linear(_rows(own), *self.own)
        size = fused.shape
        fused = fused.flatten(1, 2)
        for neighbour, weight in zip((before, after), self.others, strict=True):
            _, value, _, other = neighbour.split(self.parts, 1)
            read = self._read(F.leaky_relu_(compared + other, 0.1), value).transpose(1, 2)
            fused = torch.baddbmm(fused, read, weight.expand(len(read), -1, -1))
        return fused.reshape(size).permute(0, 3, 1, 2)

    def _read(self, compared: Tensor, value: Tensor) -> Tensor:
        """Half of what `alignment.sample` gives: (N, A K, h w)."""
        n, count = len(value), self.groups * self.taps
        height, width = value.shape[-2:]
        seen = F.conv2d(compared, *self.offsets, padding=1).contiguous()
        across, down, weight = seen.split(count, 1)
        grid = seen.new_empty(n, count, height, width, 2)
        self._place(across, 0, width, torch.arange(width), grid[..., 0])
        self._place(down, 1, height, torch.arange(height)[:, None], grid[..., 1])
        flat = grid.view(n * self.groups, self.taps * height, width, 2)
        split = value.reshape(n * self.groups, -1, height, width)
        read = F.grid_sample(split, flat, padding_mode="border", align_corners=True)
        read = read.view(n, self.groups, -1, self.taps, height, width)
        read *= torch.sigmoid(weight).view(n, self.groups, 1, self.taps, height, width)
        return read.view(n, -1, height * width)

    def _place(self, seen: Tensor, axis: int, side: int, own: Tensor, out: Tensor) -> None:
        """Where to look along an axis, -1 to 1 over its pixels."""
        unit = 2 / max(side - 1, 1)
        taps = self.places[:, axis].repeat(self.groups)[:, None, None]
        torch.add((own + taps) * unit - 1, torch.tanh(seen), alpha=self.bound * unit, out=out)

    def _sorted(self, offsets: torch.nn.Conv2d) -> tuple[Tensor, Tensor]:
        """All that is across, then all that is down, then the weights."""
        order = torch.arange(offsets.out_channels).view(-1, 3).t().flatten()
        return _channels_last(offsets.weight[order]), _bias(offsets)[order]


def _apart(compare: torch.nn.Conv2d, trunk: int) -> tuple[Tensor, Tensor]:
    """A convolution over frame and neighbour as one over either: a sum's two halves."""
    weight, bias = torch.cat(compare.weight.split(trunk, 1)), _bias(compare)
    return _channels_last(weight), torch.cat([bias, torch.zeros_like(bias)])


def _shuffled(last: torch.nn.Conv2d, side: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of what comes before a pixel shuffle, the channels of a pixel together."""
    order = torch.arange(last.out_channels).view(-1, side * side).t().flatten()
    return _channels_last(last.weight[order]), _bias(last)[order]


def _bias(layer: torch.nn.Conv2d) -> Tensor:
    return cast(Tensor, layer.bias)


def _filled(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """With channels of nothing up to a multiple of eight, which processors compute faster."""
    lacking = -len(weight) % 8
    weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, lacking))
    return _channels_last(weight), F.pad(bias, (0, lacking))


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def _spread(rows: Tensor, side: int) -> Tensor:
    """(N, h, w, side side C), as `_shuffled` orders them, seen as (N, h, side, w, side C)."""
    return rows.unflatten(3, (side, -1)).transpose(2, 3)


def _runs(rows: Tensor, side: int) -> Tensor:
    """(N, H, W, C) seen as (N, h, side, w, side C)."""
    n, height, width, channels = rows.shape
    return rows.reshape(n, height // side, side, width // side, side * channels)


def _pixels(runs: Tensor, channels: int) -> Tensor:
    """The opposite of `_runs`, as (N, C, H, W)."""
    n, high, side, wide, _ = runs.shape
    return runs.reshape(n, high * side, wide * side, channels).permute(0, 3, 1, 2)
