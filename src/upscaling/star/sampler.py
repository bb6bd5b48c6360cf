"""The sampler: DPM-Solver++ (2M) SDE, midpoint, eta 1 (Lu et al., 2022), on a ratio of noise to
signal, with guidance rescaled (Lin et al., 2023).

x is signal plus `ratio` times noise; the network sees x / sqrt(1 + ratio^2). As published, a run
begins with noised latents times the ratio where latents over alpha would be exact: at time 899 that
is a factor of sigma, 0.9991, and weights were used with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from src.upscaling.star.schedule import Level

RESCALE = 0.2
"""How far guided predictions are brought back to the deviation of the one under the prompt."""
Denoise = Callable[[Tensor, Level], Tensor]
"""Noised latents (F, 4, h, w) and their level to clean ones."""


def noised_at(latents: Tensor, level: Level, noise: Tensor) -> Tensor:
    """Latents under the noise of a level."""
    return level.alpha * latents + level.sigma * noise


def denoised_at(latents: Tensor, velocity: Tensor, level: Level) -> Tensor:
    """The clean latents that a velocity stands for."""
    return level.alpha * latents - level.sigma * velocity


def guided(told: Tensor, untold: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance, brought back towards the deviation of `told`."""
    made = untold + scale * (told - untold)
    ratio = told.std() / (made.std() + 1e-12)
    return made * (RESCALE * ratio + 1 - RESCALE)


def sample(
    start: Tensor, levels: Sequence[Level], denoise: Denoise, draw: Callable[[], Tensor]
) -> Tensor:
    """Clean latents (F, 4, h, w). start: latents under the noise of the first level. draw: standard
    normal noise of their shape, once for each step but the last.
    """
    x, before, step_before = start * levels[0].ratio, None, None
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        made = denoise(x / torch.sqrt(1 + level.ratio**2), level)
        if following is None:
            return made
        step = level.ratio.log() - following.ratio.log()
        x = _advanced(x, made, level, following, step)
        if before is not None and step_before is not None:
            x = x - 0.5 * torch.expm1(-2 * step) * (step / step_before) * (made - before)
        x = x + draw() * following.ratio * torch.sqrt(-torch.expm1(-2 * step))
        before, step_before = made, step
    raise ValueError("a run visits one time at the least")


def _advanced(x: Tensor, made: Tensor, level: Level, following: Level, step: Tensor) -> Tensor:
    """The first-order part of a step."""
    kept = following.ratio / level.ratio * torch.exp(-step)
    return kept * x - torch.expm1(-2 * step) * made
