"""Which frames of a clip a sample of the stage `transformer` holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from src.pipelines.blueprint import Blueprint
from src.recipes.embedded.settings import TransformerStage


@dataclass(frozen=True)
class Moments:
    """Which of a clip's token frames a sample holds. The first is always the photograph's.

    groups: (G,) their numbers. frames: (G * patch_t,) the frames of the clip that they show; those
    padded in front of the first are the first.
    """

    groups: np.ndarray
    frames: np.ndarray


def moments_of(groups: np.ndarray, blueprint: Blueprint) -> Moments:
    """The frames that these token frames show, where a latent frame is one frame."""
    held = blueprint.patch_t or 1
    padding = -blueprint.num_frames % held
    frames = groups[:, None] * held + np.arange(held) - padding
    return Moments(groups, np.maximum(frames, 0).flatten())


def drawn_moments(
    stage: TransformerStage, step: int, blueprint: Blueprint, random: np.random.Generator
) -> Moments:
    """Those of one step: as many as its stage draws then, neighbours or from all over the clip."""
    chances, total = stage.lengths(step), blueprint.token_frames
    weights = np.array(list(chances.values()))
    count = int(random.choice(list(chances), p=weights / weights.sum()))
    groups = np.arange(count)
    if random.random() < stage.contiguous:
        groups[1:] += random.integers(total - count + 1)
    else:
        groups[1:] = 1 + np.sort(random.choice(total - 1, count - 1, replace=False))
    return moments_of(groups, blueprint)
