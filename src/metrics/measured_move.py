"""Which camera move a clip shows: a similarity fitted to its TV-L1 flow,
named by its largest part.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from src.motion.tvl1 import flow_backend

STILL = 0.1  # pixels a frame at 720x480 / 3: less than that is no move
STRIDE = 4


@dataclass(frozen=True)
class MeasuredMove:
    """Mean motion of the picture per frame, each part in pixels at native size.

    right and down: the shift; growth: of a point half a diagonal-quarter off the centre, outwards;
    turn: the same point's way counter-clockwise. mean_flow: mean length of the flow vectors between
    neighbouring frames.
    """

    right: float
    down: float
    growth: float
    turn: float
    mean_flow: float

    @property
    def name(self) -> str:
        """The move in the vocabulary of src/scenes/moves.py."""
        parts = {
            ("pan left", "pan right"): self.right, ("tilt up", "tilt down"): self.down,
            ("push in", "pull out"): self.growth,
            ("roll clockwise", "roll counterclockwise"): self.turn,
        }  # fmt: skip
        names, amount = max(parts.items(), key=lambda part: abs(part[1]))
        if abs(amount) < STILL:
            return "static"
        return names[0] if amount > 0 else names[1]

    def amount(self, name: str) -> float:
        """How strongly the picture does what `name` asks for, in pixels a frame; negative the other
        way.
        """
        signed = {
            "pan left": self.right, "pan right": -self.right, "tilt up": self.down,
            "tilt down": -self.down, "push in": self.growth, "pull out": -self.growth,
            "roll clockwise": self.turn, "roll counterclockwise": -self.turn,
        }  # fmt: skip
        return signed[name]


def measure(frames: np.ndarray) -> MeasuredMove:
    """Fit the move of a clip (F, H, W, 3) uint8: flow between frames four apart, and between some
    neighbours.
    """
    grey, _, far = strides(frames)
    backend = flow_backend()
    near_starts = np.linspace(0, len(grey) - 2, min(8, len(grey) - 1)).round().astype(int)
    near = backend.flow(grey[near_starts], grey[near_starts + 1])
    parts = np.mean([fit_similarity(flow) for flow in far], axis=0)
    return MeasuredMove(*parts.tolist(), float(np.linalg.norm(near, axis=-1).mean()))


def strides(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clip (F, H, W, 3) uint8 in grey, its frames 0, 4, 8 ..., and the flow from each of them to
    the one four later.

    (F, H, W) uint8, (N,) frame numbers, and (N, H, W, 2) in pixels a frame.
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    starts = np.arange(0, len(grey) - STRIDE, STRIDE)
    return grey, starts, flow_backend().flow(grey[starts], grey[starts + STRIDE]) / STRIDE


def fit_similarity(flow: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Shift right, shift down, growth and counter-clockwise turn of a flow field (H, W, 2), in
    pixels: (4,).

    Least squares on u = right + a x + b y, v = down + a y - b x about the centre, twice more
    without the worst fifth of the pixels. Growth and turn are a and b at the root mean square
    distance from the centre. weights: of the pixels, (H, W); None counts all alike.
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    x = (columns - (width - 1) / 2).ravel()
    y = (rows - (height - 1) / 2).ravel()
    one, zero = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, zero, x, y], axis=1)
    along = np.stack([zero, one, y, -x], axis=1)
    target = flow.reshape(-1, 2).astype(np.float64)
    weight = one if weights is None else weights.ravel().astype(np.float64)
    kept = np.ones(len(x), bool)
    for _ in range(3):
        scale = np.sqrt(np.tile(weight[kept], 2))
        design = np.concatenate([across[kept], along[kept]]) * scale[:, None]
        wanted = np.concatenate([target[kept, 0], target[kept, 1]]) * scale
        solution = np.linalg.lstsq(design, wanted, rcond=None)[0]
        error = np.hypot(target[:, 0] - across @ solution, target[:, 1] - along @ solution)
        kept = error <= _weighted_quantile(error, weight, 0.8)
    reach = np.sqrt(np.mean(x**2 + y**2))
    return solution * np.array([1, 1, reach, reach])


def _weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The value below which `share` of the weight lies."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(below, share * below[-1])])
