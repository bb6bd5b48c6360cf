"""What a filter is, and how frames come to it: in groups, so that it may look at some at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.core.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from src.upscaling.job import UpscaleJob

MARKED, LABEL = "watermark", "label"
"""The filters that ship: `marking.py`, `labelling.py`."""


@dataclass(frozen=True)
class GroupContext:
    """Where a group stands. plan: of the whole clip, or the job of a video that is enlarged. first:
    the number of its first frame, from 0. mark_key: id of the watermark's key; "" for the one of
    new marks.
    """

    plan: Plan | UpscaleJob
    first: int
    mark_key: str = ""


Filter = Callable[["list[np.ndarray]", GroupContext], "list[np.ndarray]"]
"""Frames that follow each other, (H, W, 3) as they would be encoded, uint8 (or uint16, of a deep
video that is enlarged), to as many of the same size and kind; it may change them in place. The
result is of the group and its context alone: an enlargement that was stopped goes on with any.
"""


def each(change: Callable[[np.ndarray, int], np.ndarray]) -> Filter:
    """A filter that looks at one frame at a time, and at its number."""

    def through(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
        return [change(frame, number) for number, frame in enumerate(frames, context.first)]

    return through


def in_groups(frames: Iterable[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    """`most` frames each; what is left in the last."""
    group: list[np.ndarray] = []
    for frame in frames:
        group.append(frame)
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
