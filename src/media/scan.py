"""Whether pictures are two fields of different times, woven together: by the file's flags, and by
looking.

Flags may be wrong both ways. In a pair of pictures that move, the even lines of one are woven with
the odd lines of the other, both ways round, and the vertical contrast of each weave (at pixels that
move) is compared with the picture's own. A progressive picture has less than either weave. Of an
interlaced one a weave of neighbouring fields has as much, and the weave the other way round, three
fields apart, more: that says which field is first.

Hard edges have less contrast than their weaves even where they are woven. There the comb itself
tells: between neighbouring lines, which are of two times, there is as much contrast as between
every second line. Edges that are whole have half of that, also where they move by as many lines as
make one weave look like the other way round.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace

from src.media.film import LEAST_MOVING, MOVING, first_field_of

FRAMES = 16
"""Pictures that are looked at."""
PLAIN = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12")
"""Pixels whose first plane is luma of 8 bits."""
PAIRS = 8
"""Pairs that must say something before flags are not believed."""
WOVEN, APART = 0.75, 1.15
"""An interlaced picture has at least WOVEN of the lesser weave's contrast, and one weave APART
times the other's."""
MOST = 1.5
"""Of the lesser weave's contrast: more than that is a pattern that repeats where it moved to."""
COMBED = 0.9
"""Contrast of neighbouring lines over that of every second line, from which on a picture is a comb:
then more than WHOLE in place of WOVEN will do."""
WHOLE = 0.35
"""A picture with at most this share of the lesser weave's contrast is progressive, whatever its
flag."""
AGREE = 0.8
"""Share of the pairs that must say the same."""


class WeaveReading(NamedTuple):
    """What a pair of pictures says. own: the first one's contrast over the lesser weave's. order:
    the weave of bottom before top over the other way round. comb: contrast of the first one's
    neighbouring lines over that of every second line.
    """

    own: float
    order: float
    comb: float = 0.0

    @property
    def woven(self) -> bool:
        """Whether the first picture is two fields."""
        return (WHOLE if self.comb > COMBED else WOVEN) < self.own < MOST


@dataclass(frozen=True)
class Scan:
    """interlaced: whether pictures are woven of two fields. first: "top" or "bottom" as it was
    seen, None where the flags of each picture must say it. measured: whether looking said otherwise
    than the flags. film: whether they are film in 3:2 pulldown. since: seconds of the file at which
    it was seen, where that is not its beginning.
    """

    interlaced: bool = False
    first: str | None = None
    measured: bool = False
    film: bool = False
    since: float = 0.0

    @property
    def woven(self) -> bool:
        """Whether there are pictures of two fields."""
        return self.interlaced or self.film

    @property
    def sentence(self) -> str:
        """How the pictures are, for people."""
        if self.film:
            return (
                "is film in 3:2 pulldown, which its flags do not say; its pictures are put "
                "together again"
            )
        if self.since:
            return (
                f"is interlaced at {self.since:.1f} s ({self.first} field first), which its flags "
                "do not say"
            )
        if not self.interlaced:
            return "is flagged interlaced, but its pictures are whole; they are kept as they are"
        if self.measured:
            return f"is interlaced ({self.first} field first), which its flags do not say"
        return "is interlaced"


def scan_of(frames: Iterable[av.VideoFrame]) -> Scan:
    """What the first pictures of a video say, in order of display."""
    flagged, pictures = False, []
    for frame in islice(frames, FRAMES):
        flagged |= bool(frame.interlaced_frame)
        pictures.append(_luma(frame))
    known = [picture for picture in pictures if picture is not None]
    found = judge_scan(flagged, _marks(known))
    if not flagged and not found.interlaced and (first := first_field_of(known)) is not None:
        return Scan(first=first, measured=True, film=True)
    return found


def _marks(pictures: list[np.ndarray]) -> list[WeaveReading]:
    pairs = [(a, b) for a, b in pairwise(pictures) if a.shape == b.shape]
    return [mark for mark in (compare_fields(*pair) for pair in pairs) if mark is not None]


def judge_scan(flagged: bool, marks: list[WeaveReading]) -> Scan:
    """From flags and the pairs that move. Nearly all pairs must speak against a flag."""
    top = _agree([mark.woven and mark.order > APART for mark in marks])
    bottom = _agree([mark.woven and mark.order < 1 / APART for mark in marks])
    first = "top" if top else "bottom" if bottom else None
    if not flagged:
        return Scan(first is not None, first, first is not None)
    whole = [mark.own < WHOLE and 1 / APART < mark.order < APART for mark in marks]
    return Scan(measured=True) if _agree(whole) else Scan(True, first)


def compare_fields(before: np.ndarray, after: np.ndarray) -> WeaveReading | None:
    """What two pictures in a row say, (H, W) int16; None where too little moves."""
    moving = np.abs(after - before) > MOVING
    if before.shape[0] < 8 or moving[1:-1].mean() < LEAST_MOVING:
        return None
    own = _contrast(before, moving)
    late, early = _contrast(_weave(after, before), moving), _contrast(_weave(before, after), moving)
    comb = own / max(_contrast(before, moving, 2), 1e-3)
    return WeaveReading(own / max(min(late, early), 1e-3), early / max(late, 1e-3), comb)


def _weave(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """One picture's even lines with another's odd ones."""
    woven = np.empty_like(even)
    woven[0::2], woven[1::2] = even[0::2], odd[1::2]
    return woven


def _contrast(picture: np.ndarray, moving: np.ndarray, lines: int = 1) -> float:
    """Mean second difference down the columns, of pixels so many lines apart, where it moves."""
    difference = 2 * picture[lines:-lines] - picture[: -2 * lines] - picture[2 * lines :]
    there = moving[lines:-lines]
    return float(np.abs(difference)[there].mean()) if there.any() else 0.0


def _luma(frame: av.VideoFrame) -> np.ndarray | None:
    """(H, W / 2) int16: every second column; of a large picture the middle. None where its pixels
    cannot be read.
    """
    try:
        luma = _plane(frame) if frame.format.name in PLAIN else _grey(frame)
    except FFmpegError:  # whoever reads the colours says so
        return None
    left, top = max(0, frame.width - 960) // 2, max(0, frame.height - 540) // 4 * 2
    return luma[top : top + 540, left : left + 960 : 2].astype(np.int16)


def _plane(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    lines = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width]


def _grey(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(
        format="gray", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU709
    )


def _agree(votes: list[bool]) -> bool:
    return len(votes) >= PAIRS and sum(votes) >= AGREE * len(votes)
