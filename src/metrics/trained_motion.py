"""Whether a clip shows one given camera move, whatever it is made of: the measured motion against the move's own.

The motion of a clip is a shift right, a shift down, growth and turn, in pixels a frame, every four frames
(MeasuredMove.parts). A move has the same numbers by geometry. The clip shows the move where the two point the same way
(cosine) and are about as long (strength). A move that goes and comes back is at right angles to all that go one way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from src.metrics.measured_move import STRIDE
from src.scenes.moves import Move, trajectory

COSINE = 0.8
STRENGTH = (0.35, 2.5)


@dataclass(frozen=True)
class Likeness:
    """cosine: of the angle between the motions, -1 to 1. strength: the part of the move that the clip carries out."""

    cosine: float
    strength: float

    @property
    def shown(self) -> bool:
        """Whether the clip shows the move."""
        return self.cosine >= COSINE and STRENGTH[0] <= self.strength <= STRENGTH[1]


def motion_of(move: Move, num_frames: int, width: int, height: int) -> np.ndarray:
    """A move's motion in pixels a frame at width x height, every four frames: (N, 4), as `MeasuredMove.parts`."""
    places = np.tile(np.eye(3), (num_frames, 1, 1))
    places[:, :2] = trajectory(move, num_frames, width, height)
    starts = places[: num_frames - STRIDE : STRIDE]
    steps = places[STRIDE::STRIDE][: len(starts)] @ np.linalg.inv(starts)
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    reach = math.sqrt((width**2 - 1 + height**2 - 1) / 12)  # root mean square distance of a pixel from the centre
    shift = (steps @ centre - centre)[:, :2]
    growth, turn = reach * (steps[:, 0, 0] - 1), reach * steps[:, 0, 1]
    return np.column_stack([shift, growth, turn]) / STRIDE


def likeness(found: np.ndarray, wanted: np.ndarray) -> Likeness:
    """Compare a clip's motion with the wanted one, (N, 4) both, in pixels a frame at the same size."""
    along = float(np.vdot(found, wanted))
    length = float(np.linalg.norm(wanted))
    return Likeness(along / max(float(np.linalg.norm(found)) * length, 1e-9), along / length**2)
