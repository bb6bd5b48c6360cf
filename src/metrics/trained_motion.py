"""Whether a clip shows one given camera move, whatever it is made of: the measured motion against the move's own.

The mean motion of a clip is a vector of shift right, shift down, growth and turn, in pixels a frame (MeasuredMove). A
move has the same vector by geometry. The clip shows the move where the two point the same way (cosine) and are
about as long (strength). A move of three equal parts is 0.58 from each of them alone and 0.82 from two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from src.metrics.measured_move import MeasuredMove
from src.scenes.moves import INTERVALS, Move

COSINE = 0.9
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


def motion_of(move: Move, width: int, height: int) -> np.ndarray:
    """The vector of a move, (4,) pixels a frame at width x height; growth and turn as in `fit_similarity`."""
    reach = math.sqrt((width**2 - 1 + height**2 - 1) / 12)  # root mean square distance of a pixel from the centre
    parts = (move.pan * width, move.tilt * height, move.push * reach, math.radians(move.roll) * reach)
    return np.array(parts) / INTERVALS


def likeness(measured: MeasuredMove, wanted: np.ndarray) -> Likeness:
    """Compare a clip's motion with the wanted one, both in pixels a frame at the same size."""
    found = np.array([measured.right, measured.down, measured.growth, measured.turn])
    along = float(found @ wanted)
    length = float(np.linalg.norm(wanted))
    return Likeness(along / max(float(np.linalg.norm(found)) * length, 1e-9), along / length**2)
