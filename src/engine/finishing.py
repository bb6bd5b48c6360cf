"""Filters of frames and finishers of files, by the names that a request and its plan have for them.

One more is a function here or in a file of its own, and a line in the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from src.core.errors import BadInputError
from src.core.plan import Plan
from src.engine.enlarged_manifest import EnlargedManifest
from src.engine.finisher import FileContext, Finisher
from src.engine.manifest import Manifest, describe_clip
from src.engine.signing import NAME as SIGNED
from src.engine.signing import sign_clip
from src.trust.signing import check_signing
from src.upscaling.job import UpscaleJob


@dataclass(frozen=True)
class FrameContext:
    """Where a frame stands. plan: of the whole clip, or the job of a video that is enlarged. index:
    the frame's number from 0.
    """

    plan: Plan | UpscaleJob
    index: int


Filter = Callable[[np.ndarray, FrameContext], np.ndarray]
"""(H, W, 3) as it would be encoded, uint8 (or uint16, of a deep video that is enlarged), to as much
of the same size and kind; may change it in place. It is of the frame and its context alone: an
enlargement that was stopped goes on between any two frames."""
AnyManifest = TypeVar("AnyManifest", Manifest, EnlargedManifest)
FILTERS: dict[str, Filter] = {}
FINISHERS: dict[str, Finisher] = {SIGNED: sign_clip}
NEEDS: dict[str, Callable[[], None]] = {SIGNED: check_signing}
"""What raises BadInputError, before anything is computed, where a finisher could not work here."""


def filtered(frame: np.ndarray, context: FrameContext) -> np.ndarray:
    """The frame after the plan's filters; the very same one where the plan has none."""
    for name in context.plan.filters:
        made = FILTERS[name](frame, context)
        if (made.shape, made.dtype) != (frame.shape, frame.dtype):
            raise AssertionError(
                f"filter {name} made {made.shape} {made.dtype} of {frame.shape} {frame.dtype}"
            )
        frame = made
    return frame


def finished(
    names: Iterable[str], temporary: Path, final: Path, manifest: AnyManifest, source: Path
) -> AnyManifest:
    """Run finishers on the file that will be `final`; the manifest of what each leaves. source: as
    of FileContext.
    """
    for name in names:
        FINISHERS[name](temporary, FileContext(manifest, source, final))
        manifest = manifest.model_copy(update={"clip": describe_clip(temporary, final)})
    return manifest


def check_names(filters: Iterable[str], finishers: Iterable[str]) -> None:
    """Raise BadInputError for a name that is not in its list, or a finisher that cannot work."""
    for kind, names, known in (("filters", filters, FILTERS), ("finishers", finishers, FINISHERS)):
        for name in names:
            if name not in known:
                raise BadInputError(
                    f"{kind}: there is no {name!r}; known: {', '.join(known) or 'none'}"
                )
    names = tuple(finishers)
    if SIGNED in names[:-1]:
        raise BadInputError(f"finishers: {SIGNED} must be the last; what comes later breaks it")
    for name in names:
        NEEDS.get(name, lambda: None)()
