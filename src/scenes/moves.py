"""Camera moves: what a camera does over six seconds, and where that puts the picture.

Words are the camera's. *Pan left* turns the camera left, so the picture moves right; *tilt up*: the
picture moves down; *push in*: it grows from the centre; *roll clockwise*: the picture turns
counter-clockwise.
Amounts are what 49 frames (48 intervals, six seconds) do at medium speed; a shorter clip does the
same part of it as its share of the time, so that the speed a frame is the same for every length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from src.core.errors import BadInputError

INTERVALS = 48  # of a full clip: 49 frames
SPEEDS = {"slow": 0.45, "medium": 1.0, "fast": 2.0}
PAN = 0.22  # of the width
TILT = 0.22  # of the height
PUSH = math.log(1.3)  # natural logarithm of the magnification
ROLL = 12.0  # degrees


@dataclass(frozen=True)
class Move:
    """A camera move as amounts over 48 intervals; the zero move is a camera on a tripod."""

    pan: float = 0.0
    """To the left, in picture widths: the picture moves right by this."""
    tilt: float = 0.0
    """Upwards, in picture heights: the picture moves down by this."""
    push: float = 0.0
    """Forwards, as the natural logarithm of the magnification."""
    roll: float = 0.0
    """Clockwise, in degrees: the picture turns counter-clockwise by this."""
    sway: float = 0.0
    """To the left, back, as far to the right and back, once in 48 intervals: how far, in picture
    widths.
    """
    handheld: float = 0.0
    """Standard deviation of the unsteadiness, in picture widths."""
    eased: bool = False
    """Starts and ends at rest instead of moving at a constant speed."""

    def __add__(self, other: Move) -> Move:
        names = ("pan", "tilt", "push", "roll", "sway", "handheld")
        amounts = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Move(**amounts, eased=self.eased or other.eased)

    def scaled(self, factor: float) -> Move:
        """The same move, `factor` times as strong; the unsteadiness stays."""
        return replace(
            self, pan=self.pan * factor, tilt=self.tilt * factor, push=self.push * factor,
            roll=self.roll * factor, sway=self.sway * factor,
        )  # fmt: skip

    def seen_at(self, nearness: float) -> Move:
        """What a layer `nearness` times as near as the subject shows: roll is the same at any
        distance.
        """
        return replace(self.scaled(nearness), roll=self.roll, handheld=self.handheld * nearness)

    @property
    def is_static(self) -> bool:
        """True where no frame differs from the first."""
        return not any(getattr(self, field.name) for field in fields(self) if field.name != "eased")


PRIMITIVES: dict[str, Move] = {
    "static": Move(),
    "pan left": Move(pan=PAN),
    "pan right": Move(pan=-PAN),
    "tilt up": Move(tilt=TILT),
    "tilt down": Move(tilt=-TILT),
    "push in": Move(push=PUSH),
    "pull out": Move(push=-PUSH),
    "roll clockwise": Move(roll=ROLL),
    "roll counterclockwise": Move(roll=-ROLL),
    "handheld": Move(handheld=0.006),
}

TAUGHT: dict[str, Move] = {
    # Every prompt of the scenes moves one way all the time: none comes back.
    "vortigo": Move(sway=0.04),
}
"""Moves with names of their own that no base model is trained on: what a LoRA adapter can be
taught.
"""


def named_move(name: str, speed: str = "medium") -> Move:
    """The move called `name` at `speed`.

    Raises BadInputError for an unknown name or speed, listing those that exist.
    """
    if name not in PRIMITIVES:
        raise BadInputError(
            f"no camera move is called {name!r}; there are: {', '.join(PRIMITIVES)}"
        )
    if speed not in SPEEDS:
        raise BadInputError(f"no speed is called {speed!r}; there are: {', '.join(SPEEDS)}")
    return PRIMITIVES[name].scaled(SPEEDS[speed])


def eased_progress(num_frames: int, eased: bool) -> np.ndarray:
    """How much of the full move each frame has behind it: (F,) float64, from 0 to (F - 1) / 48."""
    share = (num_frames - 1) / INTERVALS
    position = np.linspace(0.0, 1.0, num_frames)
    if eased:
        position = position * position * (3.0 - 2.0 * position)
    return share * position


def trajectory(move: Move, num_frames: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Where the camera puts the picture: maps from pixels of the first frame to pixels of frame t.

    Returns (F, 2, 3) float64: `[x_t, y_t] = matrix @ [x_0, y_0, 1]`, a similarity about the centre
    of the frame (pixel centres at whole numbers); the first is the identity. `seed` draws the
    unsteadiness of a handheld move.
    """
    done = eased_progress(num_frames, move.eased)
    angle = np.deg2rad(move.roll) * done
    scale = np.exp(move.push * done)
    shift = np.stack([move.pan * width * done, move.tilt * height * done], axis=1)
    shift[:, 0] += move.sway * width * np.sin(2 * np.pi * eased_progress(num_frames, eased=False))
    shift += move.handheld * width * camera_shake(num_frames, seed)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def camera_shake(num_frames: int, seed: int) -> np.ndarray:
    """A smooth wander of unit size that starts at zero: (F, 2) float64, a sum of slow sines (0.3 to
    1.6 Hz).
    """
    random = np.random.default_rng([seed, 7])
    time = np.arange(num_frames) / 8.0
    wander = np.zeros((num_frames, 2))
    for frequency in (0.3, 0.7, 1.6):
        phase = random.uniform(0, 2 * np.pi, 2)
        weight = random.normal(0, 1, 2) / (1 + frequency)
        wander += weight * np.sin(2 * np.pi * frequency * time[:, None] + phase)
    return wander - wander[0]
