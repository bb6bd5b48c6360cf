"""Filters of frames and finishers of files, by the names that a request and its plan have for them.

One more is a function here or in a file of its own, and a line in the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.core.errors import BadInputError
from src.core.plan import Plan
from src.engine.manifest import Manifest


@dataclass(frozen=True)
class FrameContext:
    """Where a frame stands. plan: of the whole clip. index: the frame's number from 0."""

    plan: Plan
    index: int


Filter = Callable[[np.ndarray, FrameContext], np.ndarray]
"""(H, W, 3) uint8 as it would be encoded, to as much of the same size."""
Finisher = Callable[[Path, Manifest], None]
"""Works on the whole temporary file before it is published; the manifest describes the file as it was before."""
FILTERS: dict[str, Filter] = {}
FINISHERS: dict[str, Finisher] = {}


def filtered(frame: np.ndarray, context: FrameContext) -> np.ndarray:
    """The frame after the plan's filters; the very same one where the plan has none."""
    for name in context.plan.filters:
        frame = FILTERS[name](frame, context)
    return frame


def check_names(filters: Iterable[str], finishers: Iterable[str]) -> None:
    """Raise BadInputError for a name that is not in its list."""
    for kind, names, known in (("filters", filters, FILTERS), ("finishers", finishers, FINISHERS)):
        for name in names:
            if name not in known:
                raise BadInputError(f"{kind}: there is no {name!r}; known: {', '.join(known) or 'none'}")
