"""Weights for a network that has less room than the one they are of, without training.

Channels inside a block are left out one after the other, always the one that the others make good
for best, and the second convolution is fitted to those that stay by least squares (He, Zhang and
Sun, "Channel pruning for accelerating very deep neural networks", ICCV 2017). Where the smaller
network aligns no neighbours, one matrix stands for what alignment, fusion and the first attention
gave, fitted in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.recipes.upscaler.degrade import shrink
from src.scenes.photographs import TRAINING, load_training_photograph
from src.upscaling.network import CONDITIONS, ResidualBlock, VideoNetwork

PLACES = 12_000
"""Pixels that a fit sees."""
SIDE = 96
"""Of the pictures that fits are made on, in pixels of the source."""
RIDGE = 1e-6
"""Of the mean square of the inputs: added to each, so that a fit exists."""


def narrowed(source: VideoNetwork, target: VideoNetwork) -> dict[str, Tensor]:
    """The parameters of `target` where it has less room than `source`, fitted on the photographs of
    `TRAINING`. The two have the same scale, width, blocks and trunk.
    """
    made: dict[str, Tensor] = {}
    seen = _seen(source, still_clips(source.spec.scale))
    for part in ("before", "after"):
        for index, block in enumerate(getattr(source, part)):
            if target.spec.inner < source.spec.inner:
                fitted = _narrow(block, seen[f"{part}.{index}"], target.spec.inner)
                made |= {f"{part}.{index}.{name}": value for name, value in fitted.items()}
    if source.spec.align and not (target.spec.align or target.spec.heads):
        made |= _without_alignment(source.down, seen["down"], seen["fused"])
    return made


def still_clips(scale: int) -> Tensor:
    """The middles of the photographs that are large enough, shrunk by `scale`, three frames of
    each: (N, 3, 3, SIDE, SIDE) in [0, 1].
    """
    side, middles = SIDE * scale, []
    for photo in TRAINING:
        pixels = load_training_photograph(photo.name)
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        if min(top, left) >= 0:
            middles.append(pixels[top : top + side, left : left + side])
    low = torch.from_numpy(shrink(np.stack(middles), scale)).permute(0, 3, 1, 2).float() / 255
    return low[:, None].repeat(1, 3, 1, 1, 1)


@torch.no_grad()
def _seen(source: VideoNetwork, low: Tensor) -> dict[str, Tensor]:
    """What goes into each block, what comes out of `down`, and what goes on from the fusion and the
    first attention, as (P, C) or (N, C, H, W).
    """
    seen: dict[str, Tensor] = {}
    last = source.attend.get_submodule("0.norm2") if source.spec.attention else source.attend
    hooks = [source.down.register_forward_hook(_keep(seen, "down", output=True)),
             last.register_forward_hook(_keep(seen, "fused"))]  # fmt: skip
    for part in ("before", "after"):
        for index, block in enumerate(getattr(source, part)):
            hooks.append(block.register_forward_hook(_keep(seen, f"{part}.{index}")))
    source(low, torch.zeros(len(low), CONDITIONS))
    for hook in hooks:
        hook.remove()
    if not source.spec.attention:
        seen["fused"] = seen["fused"].permute(0, 2, 3, 1)
    seen["down"] = seen["down"].permute(0, 2, 3, 1)
    return seen


def _keep(seen: dict[str, Tensor], name: str, output: bool = False) -> Callable[..., None]:
    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen[name] = (made if output else given[0]).clone()

    return keep


@torch.no_grad()
def _narrow(block: ResidualBlock, x: Tensor, hidden: int) -> dict[str, Tensor]:
    """The parameters of a block with `hidden` channels inside, fitted to give what it gives."""
    inside = block.act(block.first(x))
    wanted = block.second(inside).permute(0, 2, 3, 1).flatten(0, 2)
    patches = F.unfold(inside, 3, padding=1).transpose(1, 2).flatten(0, 1)
    fit = _Fit(patches, wanted)
    kept = list(range(inside.shape[1]))
    while len(kept) > hidden:
        kept.pop(fit.least(kept))
    weight, bias = fit.solved(kept)
    return {
        "first.weight": block.first.weight[kept],
        "first.bias": cast(Tensor, block.first.bias)[kept],
        "act.weight": block.act.weight[kept],
        "second.weight": weight.t().reshape(-1, hidden, 3, 3), "second.bias": bias,
    }  # fmt: skip


def _without_alignment(down: nn.Conv2d, y: Tensor, fused: Tensor) -> dict[str, Tensor]:
    """`down` and the matrix that brings its output nearest to `fused`, as one."""
    fit = _Fit(y.flatten(0, -2), fused.flatten(0, -2), group=1)
    weight, bias = fit.solved(list(range(y.shape[-1])))
    matrix = down.weight.detach()[:, :, 0, 0]
    return {
        "down.weight": (weight.t() @ matrix)[:, :, None, None],
        "down.bias": weight.t() @ cast(Tensor, down.bias).detach() + bias,
    }


class _Fit:
    """Least squares of rows (P, O) on rows (P, C group) and a constant, in float64."""

    def __init__(self, rows: Tensor, wanted: Tensor, group: int = 9) -> None:
        generator = torch.Generator().manual_seed(0)
        places = torch.randperm(len(rows), generator=generator)[:PLACES]
        rows, self.group = rows[places].double(), group
        rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
        square = rows.t() @ rows
        self.square = square + RIDGE * square.diagonal().mean() * torch.eye(len(square)).double()
        self.wanted = rows.t() @ wanted[places].double()

    def solved(self, channels: list[int]) -> tuple[Tensor, Tensor]:
        """Weights (n group, O) of the channels, and the constant (O,), float32."""
        columns = self._columns(channels)
        found = torch.linalg.solve(self.square[columns][:, columns], self.wanted[columns]).float()
        return found[:-1], found[-1]

    def least(self, channels: list[int]) -> int:
        """The place of the channel whose loss the others make good for best: w' (S^-1 of its own
        columns)^-1 w is by how much the squared error grows.
        """
        columns, size = self._columns(channels), self.group
        inverse = torch.linalg.inv(self.square[columns][:, columns])
        weights = inverse @ self.wanted[columns]
        costs = []
        for place in range(len(channels)):
            own = slice(place * size, (place + 1) * size)
            costs.append((weights[own] * torch.linalg.solve(inverse[own, own], weights[own])).sum())
        return int(torch.stack(costs).argmin())

    def _columns(self, channels: list[int]) -> list[int]:
        size = self.group
        inside = [channel * size + at for channel in channels for at in range(size)]
        return [*inside, len(self.square) - 1]
