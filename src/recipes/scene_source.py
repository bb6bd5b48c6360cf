"""Where training clips come from: drawn by OpenCV in the process itself, or rendered in batches on
the device.

Both give the same scenes for the same index. On a device the canvases are painted, and the scenes
thought out, by processes of their own meanwhile: one core could not keep up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from src.scenes.painting import begin_painting, outline_clips, paint_canvas
from src.scenes.rendering import render_scenes
from src.scenes.sampler import SceneClip, SceneSampler
from src.scenes.scene import Layer

AHEAD = 6
"""Batches that are thought out ahead of their turn."""


class SceneSource(Protocol):
    """Clips by index; the same index is the same scene, move and prompt."""

    def draw(self, indices: Sequence[int], at: Sequence[int]) -> tuple[Tensor, list[SceneClip]]:
        """The frames with the numbers `at` of these clips, (B, 3, F, H, W) in -1..1, and what they
        are.
        """

    def close(self) -> None:
        """End what runs beside the process."""


@dataclass
class DrawnScenes:
    """Drawn here and now. frames: of a whole clip."""

    sampler: SceneSampler
    frames: int

    def draw(self, indices: Sequence[int], at: Sequence[int]) -> tuple[Tensor, list[SceneClip]]:
        """Each frame is drawn once, however often it is asked for."""
        shown, where = np.unique(at, return_inverse=True)
        clips = [self.sampler.clip(index, self.frames) for index in indices]
        videos = [to_tensor(clip.scene.frames(shown.tolist()))[:, where] for clip in clips]
        return torch.stack(videos), clips

    def close(self) -> None:
        """Nothing runs beside."""


def to_tensor(frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (3, F, H, W) float32 in -1..1."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


class RenderedScenes:
    """Rendered on `device`, by the help of `workers` processes.

    sampler: says which clips. frames: of a whole clip. block: clips that are asked for at once, at
    most; each time they begin at a multiple of it.
    """

    def __init__(
        self, sampler: SceneSampler, frames: int, block: int, device: torch.device, workers: int
    ) -> None:
        self.sampler, self.frames, self.block, self.device = sampler, frames, block, device
        self._outlined: OrderedDict[int, Future] = OrderedDict()
        self._painting: dict[int, Future] = {}
        self._painted: dict[int, Tensor] = {}
        self._workers = ProcessPoolExecutor(
            workers, get_context("spawn"), begin_painting, (sampler.recipe(),)
        )

    def draw(self, indices: Sequence[int], at: Sequence[int]) -> tuple[Tensor, list[SceneClip]]:
        """Each frame is rendered once, however often it is asked for."""
        shown, where = np.unique(at, return_inverse=True)
        clips = self._outlines(indices)
        self._paint_ahead(indices)
        videos = render_scenes(
            [clip.scene for clip in clips], shown.tolist(), self._canvas, self.device
        )
        return videos[:, :, torch.from_numpy(where)], clips

    def _outlines(self, indices: Sequence[int]) -> list[SceneClip]:
        """These clips; those of the next blocks are thought out by the time that they are asked
        for.
        """
        current = indices[0] // self.block
        for number in range(current, current + AHEAD):
            if number not in self._outlined:
                block = range(number * self.block, (number + 1) * self.block)
                self._outlined[number] = self._workers.submit(outline_clips, block, self.frames)
        while len(self._outlined) > 4 * AHEAD:
            self._outlined.popitem(last=False)[1].cancel()
        clips = self._outlined.pop(current).result()
        return [clips[index - current * self.block] for index in indices]

    def _paint_ahead(self, indices: Sequence[int]) -> None:
        """Ask for every canvas that these clips may draw from, and the next blocks'; let go what
        the window passed.
        """
        reuse = self.sampler.reuse
        first = min(indices) // reuse
        for canvases in (self._painted, self._painting):
            for number in [number for number in canvases if number < first]:
                del canvases[number]
        last = (max(indices) + AHEAD * self.block) // reuse + self.sampler.window
        for number in range(first, last):
            if number not in self._painted and number not in self._painting:
                self._painting[number] = self._workers.submit(paint_canvas, number)

    def _canvas(self, layer: Layer) -> Tensor:
        """(3, H, W) uint8 on the device."""
        number = layer.canvas.number
        if number not in self._painted:
            canvas = self._painting.pop(number).result()
            self._painted[number] = torch.from_numpy(canvas).permute(2, 0, 1).to(self.device)
        return self._painted[number]

    def close(self) -> None:
        """End the processes; what they had not begun is not done."""
        self._workers.shutdown(wait=True, cancel_futures=True)
