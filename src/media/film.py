"""Film that was brought to 30 pictures a second by 3:2 pulldown, seen by its cadence.

Of each four pictures of the film A B C D five are made: A, B, B with C, C with D, D, each of two
fields. So of five pairs of neighbours one keeps the field that comes first, and two pairs later one
keeps the other field. Nothing else repeats one field alone in this order.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

MOVING = 10
"""Levels of luma by which a pixel that moves changes."""
LEAST_MOVING = 0.002
"""Share of a field's pixels that move, for it to have changed."""
STILL = 0.1
"""A field that is the one before has at most this share of the other field's moving pixels."""
LEAST = 4
"""Repeated fields that must be seen: two in each five pairs."""
CADENCE = 5


def first_field_of(pictures: Sequence[np.ndarray]) -> str | None:
    """Whose field comes first in pictures (H, W) that are film in 3:2 pulldown; None for others."""
    kept = [_kept(*pair) for pair in pairwise(pictures)]
    for first, second in (("top", "bottom"), ("bottom", "top")):
        if any(_fits(kept, phase, first, second) for phase in range(CADENCE)):
            return first
    return None


def _kept(before: np.ndarray, after: np.ndarray) -> str | None:
    """The field that stayed while the other one moved; "nothing" where neither moved."""
    if before.shape != after.shape:
        return None
    moved = np.abs(after - before) > MOVING
    top, bottom = float(moved[0::2].mean()), float(moved[1::2].mean())
    if max(top, bottom) < LEAST_MOVING:
        return "nothing"
    if min(top, bottom) > STILL * max(top, bottom):
        return None
    return "top" if top < bottom else "bottom"


def _fits(kept: Sequence[str | None], phase: int, first: str, second: str) -> bool:
    places = {phase: first, (phase + 2) % CADENCE: second}
    told = [(field, places.get(index % CADENCE)) for index, field in enumerate(kept)]
    told = [pair for pair in told if pair[0] != "nothing"]
    repeated = sum(field is not None for field, _ in told)
    return repeated >= LEAST and all(field == wanted for field, wanted in told)
