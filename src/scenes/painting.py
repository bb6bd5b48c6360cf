"""What a process does that helps to render scenes: it thinks clips out and paints their canvases.

Nothing here needs torch, whose import would take such a process ten times as long as all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from src.scenes.sampler import SceneClip, SceneSampler


@dataclass(frozen=True)
class CanvasName:
    """Stands for a canvas that is painted elsewhere."""

    number: int
    shape: tuple[int, int, int]


class Outlines(SceneSampler):
    """Scenes without their pictures: layers hold the names of their canvases."""

    def canvas(self, number: int) -> Any:
        """The name of canvas `number`."""
        height, width = self.canvas_size
        return CanvasName(number, (height, width, 3))


_sampler: SceneSampler
_outlines: Outlines


def begin_painting(recipe: dict[str, Any]) -> None:
    """What each process holds: the sampler, with pictures and without. recipe: the sampler's."""
    global _sampler, _outlines
    cv2.setNumThreads(1)  # a process for each core, not as many threads in each of them
    _sampler, _outlines = SceneSampler(**recipe), Outlines(**recipe)


def outline_clips(indices: Sequence[int], frames: int) -> list[SceneClip]:
    """The clips, their motions thought out too."""
    clips = [_outlines.clip(index, frames) for index in indices]
    for clip in clips:
        clip.scene.motions()
    return clips


def paint_canvas(number: int) -> np.ndarray:
    """(H, W, 3) uint8."""
    return _sampler.paint(number)
