"""Whether a clip shows one given camera move, whatever it is made of: the measured motion against
the move's own.

The motion of a clip is a shift right, a shift down, growth and turn, in pixels a frame, every four
frames. A move has the same numbers by geometry. The clip shows the move where the two point the
same way (cosine) and are about as long (strength). Over 49 frames a move that goes and comes back
is unlike all that go one way; its first quarter is not.

Flow is known where there is something to see. Where the picture's gradient is g and its error n
grey levels, the flow's is n / g pixels; with the misfit of one pixel that any similarity has,
inverse variances weigh a pixel by g^2 / (g^2 + n^2). In the dark sky above a rocket what a decoder
leaves is all there is to follow, and it stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from src.metrics.measured_move import STRIDE, fit_similarity, strides
from src.scenes.moves import Move, trajectory

COSINE = 0.8
STRENGTH = (0.35, 2.5)
ERROR = 10.0
"""Grey levels: n above, what a picture of 28 dB is wrong by."""


@dataclass(frozen=True)
class Likeness:
    """cosine: of the angle between the motions, -1 to 1. strength: the part of the move that the
    clip carries out.
    """

    cosine: float
    strength: float

    @property
    def shown(self) -> bool:
        """Whether the clip shows the move."""
        return self.cosine >= COSINE and STRENGTH[0] <= self.strength <= STRENGTH[1]


def motion_of(move: Move, num_frames: int, width: int, height: int) -> np.ndarray:
    """A move's motion in pixels a frame at width x height, every four frames: (N, 4)."""
    places = np.tile(np.eye(3), (num_frames, 1, 1))
    places[:, :2] = trajectory(move, num_frames, width, height)
    starts = places[: num_frames - STRIDE : STRIDE]
    steps = places[STRIDE::STRIDE][: len(starts)] @ np.linalg.inv(starts)
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    # root mean square distance of a pixel from the centre
    reach = math.sqrt((width**2 - 1 + height**2 - 1) / 12)
    shift = (steps @ centre - centre)[:, :2]
    growth, turn = reach * (steps[:, 0, 0] - 1), reach * steps[:, 0, 1]
    return np.column_stack([shift, growth, turn]) / STRIDE


def motion_in(frames: np.ndarray) -> np.ndarray:
    """The motion of a clip (F, H, W, 3) uint8, alike: (N, 4), from frames 0, 4, 8 ... to the ones
    four later.
    """
    grey, starts, flows = strides(frames)
    pairs = zip(flows, grey[starts], strict=True)
    return np.stack([fit_similarity(flow, certainty(picture)) for flow, picture in pairs])


def certainty(grey: np.ndarray) -> np.ndarray:
    """How well flow is known in a picture (H, W) uint8: float32 from 0, nothing to see, to 1."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1))
    )
    energy = cv2.GaussianBlur(across**2 + down**2, (0, 0), 3.0)
    return energy / (energy + ERROR**2)


def likeness(found: np.ndarray, wanted: np.ndarray) -> Likeness:
    """Compare a clip's motion with the wanted one, (N, 4) both,
    in pixels a frame at the same size.
    """
    along = float(np.vdot(found, wanted))
    length = float(np.linalg.norm(wanted))
    return Likeness(along / max(float(np.linalg.norm(found)) * length, 1e-9), along / length**2)
