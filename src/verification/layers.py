"""What the layers watermark and fingerprint say of a file, read where strangers' files are decoded;
`explaining.py` says it in sentences, where the register is.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError
from src.trust.extra import HOW, PRINTS, is_missing
from src.trust.verdict import verify_signature
from src.verification.fingerprint import fingerprint_of
from src.verification.frames import PICTURES, mean_of_end, mean_pictures
from src.watermark.detect import Detection, KnownIds, detect_mark
from src.watermark.keys import MarkKey

SEARCH_S = 2.0
"""Seconds that the search for a mark may take in all; what needs none is tried beyond."""


def read_layers(
    path: Path,
    anchors: str | None,
    keys: Sequence[MarkKey],
    marks: Mapping[str, Sequence[str]],
    prints: bool,
) -> dict[str, Any]:
    """As `src.trust.verdict.verify_signature`, and the other layers as they were read. marks: ids
    that are registered, by their key's id. prints: whether a fingerprint is to be taken. Raises as
    it.
    """
    found = verify_signature(path, anchors)
    found["layers"] |= {
        "watermark": _watermark(path, keys, marks),
        "fingerprint": _print(path, prints),
    }
    return found


def _watermark(
    path: Path, keys: Sequence[MarkKey], marks: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    if not keys:
        return {"found": None, "built": True, "why": "this installation has no watermark key"}
    try:
        found = read_mark(path, keys, marks)
    except BadInputError as error:
        return {"found": None, "built": True, "why": f"no picture can be read ({error})"}
    if found is None:
        return {"found": False, "built": True}
    also = _other_at_the_end(path, keys, _known(marks), found)
    return {"found": True, "built": True} | _told(found) | also


def read_mark(
    path: Path, keys: Sequence[MarkKey], marks: Mapping[str, Sequence[str]]
) -> Detection | None:
    """The mark in a file's pictures. marks: as of `read_layers`. Raises BadInputError where no
    picture can be read.
    """
    known, until = _known(marks), time.monotonic() + SEARCH_S
    found = (detect_mark(mean, keys, known, until) for mean in mean_pictures(path))
    return next(filter(None, found), None)


def _known(marks: Mapping[str, Sequence[str]]) -> dict[str, KnownIds]:
    return {key: KnownIds.of([int(each, 16) for each in ids]) for key, ids in marks.items()}


def _other_at_the_end(
    path: Path, keys: Sequence[MarkKey], known: Mapping[str, KnownIds], found: Detection
) -> dict[str, Any]:
    """A clip that was gone on with has the first one's mark, and then its own."""
    if path.suffix.lower() in PICTURES or (end := mean_of_end(path)) is None:
        return {}
    other = detect_mark(end, keys, known, time.monotonic())
    if other is None or (other.number, other.key) == (found.number, found.key):
        return {}
    return {"also": {"id": other.id, "key": other.key}}


def _told(found: Detection) -> dict[str, Any]:
    return {"id": found.id, "key": found.key, "confidence": round(found.deviations, 1),
            "decoded": found.read, "how": found.how}  # fmt: skip


def _print(path: Path, wanted: bool) -> dict[str, Any]:
    if is_missing(*PRINTS):
        return {"found": None, "built": True, "why": f"its packages are not installed ({HOW})"}
    if not wanted:
        return {"found": None, "built": True, "why": "the register holds none to compare with"}
    try:
        return {"found": False, "built": True, "code": fingerprint_of(path)}
    except BadInputError as error:
        return {"found": None, "built": True, "why": f"no picture can be read ({error})"}
