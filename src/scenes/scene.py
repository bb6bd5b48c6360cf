"""A scene: layers at different distances, a camera move over them, and what every pixel does,
exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from src.core.errors import BadInputError
from src.scenes.moves import Move, trajectory


@dataclass(frozen=True)
class Layer:
    """A flat picture at one distance.

    `placement` (2, 3) maps canvas pixels to pixels of the first frame; `alpha` is None for a layer
    without holes. `drift` moves the layer by itself, in pixels a frame. Nearer layers (nearness
    above 1) move more.
    """

    canvas: np.ndarray
    placement: np.ndarray
    alpha: np.ndarray | None = None
    nearness: float = 1.0
    drift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """Layers from far to near, seen by a camera that carries out `move`. Sizes in pixels."""

    layers: tuple[Layer, ...]
    move: Move
    width: int
    height: int
    num_frames: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.layers or self.layers[0].alpha is not None:
            raise BadInputError("a scene needs a background: a first layer without alpha")

    def motions(self) -> np.ndarray:
        """For each layer the maps from the first frame to frame t: (L, F, 2, 3) float64."""
        return self._motions

    @cached_property
    def _motions(self) -> np.ndarray:
        """Computed once, and pickled with the scene."""
        paths = []
        for layer in self.layers:
            seen = self.move.seen_at(layer.nearness)
            path = trajectory(seen, self.num_frames, self.width, self.height, self.seed)
            path[:, :, 2] += np.arange(self.num_frames)[:, None] * np.asarray(layer.drift)
            paths.append(path)
        return np.stack(paths)

    def frames(self, at: Sequence[int] | None = None) -> np.ndarray:
        """The clip: (F, H, W, 3) uint8 RGB; or the frames with the numbers `at` alone."""
        motions = self.motions()
        numbers = range(self.num_frames) if at is None else at
        clip = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        if self.move.is_static and not any(any(layer.drift) for layer in self.layers):
            clip[:] = self._draw(motions, 0)
            return clip
        for index, t in enumerate(numbers):
            clip[index] = self._draw(motions, t)
        return clip

    def _draw(self, motions: np.ndarray, t: int) -> np.ndarray:
        picture = self._warp(self.layers[0].canvas, self.layers[0], motions[0, t])
        for layer, motion in zip(self.layers[1:], motions[1:, t], strict=True):
            alpha = self._alpha(layer, motion)[..., None].astype(np.float32)
            above = self._warp(layer.canvas, layer, motion).astype(np.float32)
            blended = picture + (above - picture) * (alpha / 255)
            picture = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
        return picture

    def _alpha(self, layer: Layer, motion: np.ndarray) -> np.ndarray:
        """How opaque a layer is at each pixel: (H, W) uint8."""
        assert layer.alpha is not None  # the background alone has none, and is never above another
        return self._warp(layer.alpha, layer, motion, cv2.BORDER_CONSTANT)

    def _warp(
        self,
        pixels: np.ndarray,
        layer: Layer,
        motion: np.ndarray,
        border: int = cv2.BORDER_REFLECT_101,
    ) -> np.ndarray:
        matrix = compose(motion, layer.placement)
        size = (self.width, self.height)
        return cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)

    def owners(self) -> np.ndarray:
        """Which layer shows at each pixel (more than half opaque): (F, H, W) uint8, 0 for the
        background.
        """
        motions = self.motions()
        owner = np.zeros((self.num_frames, self.height, self.width), np.uint8)
        for index, layer in enumerate(self.layers[1:], start=1):
            for t in range(self.num_frames):
                alpha = self._alpha(layer, motions[index, t])
                owner[t][alpha > 127] = index
        return owner

    def flow(self) -> tuple[np.ndarray, np.ndarray]:
        """What each pixel of frame t does on the way to frame t + 1, from geometry alone.

        Returns:
            flow: (F - 1, H, W, 2) float32, in pixels, x before y.
            occluded: (F - 1, H, W) bool, True where the point leaves the frame or another layer
            covers it.
        """
        motions, owner = self.motions(), self.owners()
        rows, columns = np.mgrid[0 : self.height, 0 : self.width]
        points = np.stack([columns, rows], axis=-1).astype(np.float64)
        flow = np.empty((self.num_frames - 1, self.height, self.width, 2), np.float32)
        occluded = np.empty(flow.shape[:3], bool)
        for t in range(self.num_frames - 1):
            steps = np.stack([compose(path[t + 1], invert(path[t])) for path in motions])[owner[t]]
            landed = np.einsum("hwij,hwj->hwi", steps[..., :2], points) + steps[..., 2]
            flow[t] = landed - points
            occluded[t] = self._lost(landed, owner[t], owner[t + 1])
        return flow, occluded

    def _lost(self, landed: np.ndarray, owner: np.ndarray, owner_next: np.ndarray) -> np.ndarray:
        x, y = np.rint(landed[..., 0]).astype(int), np.rint(landed[..., 1]).astype(int)
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        shows = owner_next[y.clip(0, self.height - 1), x.clip(0, self.width - 1)]
        return ~inside | (shows != owner)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The (2, 3) map that applies `inner` first and `outer` after it."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.concatenate([linear, (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) map that undoes `matrix`."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2])[:, None]], axis=1)
