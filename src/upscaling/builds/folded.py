"""A network as a processor computes it fastest: the sums of `VideoNetwork`, in another order.

Two linear layers with nothing that bends between them are one. What the alignment needs of a frame
is computed once a frame, not once a neighbour. Channels are ordered so that a shuffle copies whole
runs of them, and the skip is OpenCV's cubic, which is the same one.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from src.upscaling.builds.forms import Around
from src.upscaling.builds.layout import (
    as_nhwc,
    bias_of,
    channels_last,
    filled,
    pixels_of,
    runs_of,
    shuffled,
    spread_runs,
    with_detail,
)
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
        self.down = channels_last(down), network.down.bias
        weight, bias = shuffled(network.up, 2)
        self.up = weight[:, :, 0, 0].contiguous(), bias
        self.tail = filled(*shuffled(network.tail, spec.scale))

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
        return with_detail(frames, as_nhwc(F.conv2d(x, *self.tail, padding=1)), self.scale)

    def _joined(self, x: Tensor, trunk: Tensor, told: Tensor) -> Tensor:
        """`told_after` of x and what the trunk adds to it, in one pass."""
        weight, bias = self.up
        scale, shift = self.network.told_after.linear(told[0]).chunk(2)
        scale = (1 + scale).repeat(4)
        added = F.linear(as_nhwc(trunk), weight * scale[:, None], bias * scale + shift.repeat(4))
        runs = runs_of(as_nhwc(x), 2)
        scale = scale[: runs.shape[-1]]
        made = torch.addcmul(spread_runs(added, 2), runs, scale, out=torch.empty_like(runs))
        return pixels_of(made, x.shape[1])


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
        bias = bias_of(network.fuse) + sum(others, torch.zeros_like(own)) @ bias_of(align.merge)
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
        fused = F.linear(as_nhwc(own), *self.own)
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
        return channels_last(offsets.weight[order]), bias_of(offsets)[order]


def _apart(compare: torch.nn.Conv2d, trunk: int) -> tuple[Tensor, Tensor]:
    """A convolution over frame and neighbour as one over either: a sum's two halves."""
    weight, bias = torch.cat(compare.weight.split(trunk, 1)), bias_of(compare)
    return channels_last(weight), torch.cat([bias, torch.zeros_like(bias)])
