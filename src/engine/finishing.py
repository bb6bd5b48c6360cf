"""Filters of frames and finishers of files, by the names that a request and its plan have for them.

One more is a function here or in a file of its own, and a line in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from src.core.errors import BadInputError
from src.core.request import Request
from src.core.upscale_request import UpscaleRequest
from src.engine.filters import LABEL, MARKED, Filter, GroupContext
from src.engine.finisher import SIGNED, FileContext, Finisher
from src.engine.manifest import Manifest, describe_clip
from src.trust.signing import check_signing
from src.watermark.keys import check_keys

if TYPE_CHECKING:
    import numpy as np

    from src.engine.enlarged_manifest import EnlargedManifest

GROUP, GROUP_BYTES = 8, 256 << 20
"""Frames of a group, and bytes that it may hold."""
OWN_FIELDS = (MARKED, LABEL)
"""Filters that a field of the request switches on; they come last, in this order."""
AnyManifest = TypeVar("AnyManifest", "Manifest", "EnlargedManifest")


def _marked(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
    from src.engine.marking import mark_frames

    return mark_frames(frames, context)


def _labelled(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
    from src.engine.labelling import label_frames

    return label_frames(frames, context)


def _signed(file: Path, context: FileContext) -> None:
    from src.engine.signing import sign_clip

    sign_clip(file, context)


FILTERS: dict[str, Filter] = {MARKED: _marked, LABEL: _labelled}
FINISHERS: dict[str, Finisher] = {SIGNED: _signed}
"""Those that ship import their work when they are used: a refusal of a request waits for no video
library.
"""
NEEDS: dict[str, Callable[[], None]] = {SIGNED: check_signing, MARKED: check_keys}
"""What raises BadInputError, before anything is computed, where one of them could not work here."""


def filtered(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
    """The frames after the plan's filters; the very same ones where the plan has none."""
    for name in context.plan.filters:
        made = FILTERS[name](frames, context)
        if _kinds(made) != _kinds(frames):
            raise AssertionError(f"filter {name} made {_kinds(made)} of {_kinds(frames)}")
        frames = made
    return frames


def _kinds(frames: list[np.ndarray]) -> list[tuple[tuple[int, ...], str]]:
    return [(frame.shape, str(frame.dtype)) for frame in frames]


def group_size(filters: Iterable[str], frame_bytes: int) -> int:
    """How many frames come to the filters at once: one where there are none."""
    return max(1, min(GROUP, GROUP_BYTES // frame_bytes)) if tuple(filters) else 1


def chosen_filters(request: Request | UpscaleRequest) -> tuple[str, ...]:
    """The filters of a request with those that have a field of their own, in order."""
    named = [name for name in request.filters if name not in OWN_FIELDS]
    asked = (name for name in OWN_FIELDS if getattr(request, name) or name in request.filters)
    return (*named, *asked)


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
    filters, names = tuple(filters), tuple(finishers)
    for kind, given, known in (("filters", filters, FILTERS), ("finishers", names, FINISHERS)):
        for name in given:
            if name not in known:
                raise BadInputError(
                    f"{kind}: there is no {name!r}; known: {', '.join(known) or 'none'}"
                )
    if SIGNED in names[:-1]:
        raise BadInputError(f"finishers: {SIGNED} must be the last; what comes later breaks it")
    for name in (*filters, *names):
        NEEDS.get(name, lambda: None)()
