"""STAR's network (I2VGen-XL variant): a U-Net over frames and time, and a control branch that is
shown the clean latents of the source. Xie et al., STAR, 2025 (arXiv 2501.02976).

Names and shapes are those of the published checkpoints, which load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.upscaling.star.layers import Down, ResBlock, SpaceTransformer, TimeTransformer, Up
from src.upscaling.star.spec import StarSpec

PAIRS = 2
"""Residual blocks of each size on the way down; one more on the way up."""
ATTENDED = 3
"""Sizes with attention; the smallest has none but in the middle."""
PERIOD = 10000.0


class UNetEncoder(nn.Module):
    """What the U-Net and its control branch have in common: the way down, and the middle."""

    def __init__(self, spec: StarSpec) -> None:
        super().__init__()
        self.spec = spec
        told = 4 * spec.dim
        self.time_embed = nn.Sequential(nn.Linear(spec.dim, told), nn.SiLU(), nn.Linear(told, told))
        first = nn.Conv2d(spec.channels, spec.dim, 3, padding=1)
        time = TimeTransformer(spec, spec.dim, spec.heads * spec.head)
        self.input_blocks = nn.ModuleList([nn.ModuleList([first, time]), *_way_down(spec)])
        wide = spec.widths[-1]
        self.middle_block = nn.ModuleList(
            [
                ResBlock(spec, wide, wide),
                SpaceTransformer(spec, wide),
                TimeTransformer(spec, wide),
                ResBlock(spec, wide, wide),
            ]
        )

    def told_time(self, timestep: Tensor) -> Tensor:
        """(1,) as (1, 4 dim): cosines first, then sines, of dim / 2 frequencies each."""
        half = self.spec.dim // 2
        steps = torch.arange(half, device=timestep.device, dtype=torch.float32) / half
        angles = timestep.float()[:, None] * PERIOD**-steps
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        return self.time_embed(waves.to(self.time_embed[0].weight.dtype))

    def down(
        self, latents: Tensor, time: Tensor, text: Tensor, hint: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """What each block on the way down made, and what the middle made of the last.

        hint: (F, dim, h, w), added after the first convolution.
        """
        first, over_time = self.input_blocks[0]
        frames = first(latents)
        frames = over_time(frames if hint is None else frames + hint, time, text)
        kept = [frames]
        for block in self.input_blocks[1:]:
            frames = _through(block, frames, time, text)
            kept.append(frames)
        return kept, _through(self.middle_block, frames, time, text)


class ControlBranch(UNetEncoder):
    """Looks at the source's latents, and says what is added to the U-Net."""

    def __init__(self, spec: StarSpec) -> None:
        super().__init__(spec)
        self.zero_convs = nn.ModuleList(_pointwise(width) for width in _skips(spec))
        self.middle_block_out = _pointwise(spec.widths[-1])
        self.input_hint_block = nn.Conv2d(spec.channels, spec.dim, 3, padding=1)

    def forward(
        self, latents: Tensor, timestep: Tensor, text: Tensor, source: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """What is added to each skip, and to the middle."""
        hint = self.input_hint_block(source)
        kept, middle = self.down(latents, self.told_time(timestep), text, hint)
        added = [layer(frames) for layer, frames in zip(self.zero_convs, kept, strict=True)]
        return added, self.middle_block_out(middle)


class StarNetwork(UNetEncoder):
    """The U-Net with its control branch: predicts the velocity of noised latents."""

    def __init__(self, spec: StarSpec | None = None) -> None:
        spec = spec or StarSpec()
        super().__init__(spec)
        self.output_blocks = nn.ModuleList(_way_up(spec))
        last = nn.Conv2d(spec.dim, spec.channels, 3, padding=1)
        self.out = nn.Sequential(nn.GroupNorm(spec.groups, spec.dim), nn.SiLU(), last)
        self.VideoControlNet = ControlBranch(spec)

    def forward(self, latents: Tensor, timestep: Tensor, text: Tensor, source: Tensor) -> Tensor:
        """latents, source: (F, 4, h, w), noised and clean; h is 2 modulo 8 and w a multiple of 8.
        timestep: (1,), of 1000. text: (1, N, context). Returns (F, 4, h, w).
        """
        added, middle = self.VideoControlNet(latents, timestep, text, source)
        time = self.told_time(timestep)
        kept, frames = self.down(latents, time, text, None)
        frames = frames + middle
        for block in self.output_blocks:
            frames = torch.cat([frames, kept.pop() + added.pop()], 1)
            frames = _through(block, frames, time, text)
        return self.out(frames)


def _through(block: nn.Module, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
    layers = block if isinstance(block, nn.ModuleList) else [block]
    for layer in layers:
        frames = layer(frames, time, text)
    return frames


def _way_down(spec: StarSpec) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    before = spec.dim
    for place, width in enumerate(spec.widths):
        for _ in range(PAIRS):
            blocks.append(_pair(spec, before, width, place < ATTENDED))
            before = width
        if place < len(spec.widths) - 1:
            blocks.append(Down(width))
    return blocks


def _way_up(spec: StarSpec) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    skips, before = _skips(spec), spec.widths[-1]
    for place, width in reversed(list(enumerate(spec.widths))):
        for number in range(PAIRS + 1):
            block = _pair(spec, before + skips.pop(), width, place < ATTENDED)
            if place and number == PAIRS:
                block.append(Up(width))
            blocks.append(block)
            before = width
    return blocks


def _pair(spec: StarSpec, width: int, out: int, attended: bool) -> nn.ModuleList:
    """A residual block, and attention where the size has it."""
    further = [SpaceTransformer(spec, out), TimeTransformer(spec, out)] if attended else []
    return nn.ModuleList([ResBlock(spec, width, out), *further])


def _skips(spec: StarSpec) -> list[int]:
    """Widths of what the blocks on the way down make."""
    widths = [spec.dim]
    for place, width in enumerate(spec.widths):
        widths += [width] * (PAIRS + (place < len(spec.widths) - 1))
    return widths


def _pointwise(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 1))
