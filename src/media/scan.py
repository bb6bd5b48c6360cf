"""Whether pictures are two fields of different times, woven together: by the file's flags, and by
looking.

Flags may be wrong both ways. In a pair of pictures that move, the even lines of one are woven with
the odd lines of the other, both ways round, and the vertical contrast of each weave (at pixels that
move) is compared with the picture's own. A progressive picture has less than either weave. Of an
interlaced one a weave of neighbouring fields has as much, and the weave the other way round, three
fields apart, more: that says which field is first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace

FRAMES = 16
"""Pictures that are looked at."""
MOVING = 10
"""Levels of luma by which a pixel that moves changes."""
LEAST_MOVING = 0.002
"""Share of pixels that must move for a pair to say anything."""
PAIRS = 8
"""Pairs that must say something before flags are not believed."""
WOVEN, APART = 0.75, 1.15
"""An interlaced picture has at least WOVEN of the lesser weave's contrast, and one weave APART
times the other's."""
WHOLE = 0.35
"""A picture with at most this share of the lesser weave's contrast is progressive, whatever its
flag."""
AGREE = 0.8
"""Share of the pairs that must say the same."""


@dataclass(frozen=True)
class Scan:
    """interlaced: whether pictures are woven of two fields. first: "top" or "bottom" as it was
    seen, None where the flags of each picture must say it. measured: whether looking said otherwise
    than the flags.
    """

    interlaced: bool = False
    first: str | None = None
    measured: bool = False

    @property
    def sentence(self) -> str:
        """How the pictures are, for people."""
        if not self.interlaced:
            return "is flagged interlaced, but its pictures are whole; they are kept as they are"
        if self.measured:
            return f"is interlaced ({self.first} field first), which its flags do not say"
        return "is interlaced"


def scan_of(frames: Iterable[av.VideoFrame]) -> Scan:
    """What the first pictures of a video say, in order of display."""
    flagged, marks, before = False, [], None
    for count, frame in enumerate(frames):
        flagged |= bool(frame.interlaced_frame)
        luma = _luma(frame)
        if before is not None and luma is not None and before.shape == luma.shape:
            marks.append(compare(before, luma))
        before = luma
        if count + 1 >= FRAMES:
            break
    return judge(flagged, [mark for mark in marks if mark is not None])


def judge(flagged: bool, marks: list[tuple[float, float]]) -> Scan:
    """From flags and the pairs that move. Nearly all pairs must speak against a flag."""
    top = _agree([own > WOVEN and order > APART for own, order in marks])
    bottom = _agree([own > WOVEN and order < 1 / APART for own, order in marks])
    first = "top" if top else "bottom" if bottom else None
    if not flagged:
        return Scan(first is not None, first, first is not None)
    whole = [own < WHOLE and 1 / APART < order < APART for own, order in marks]
    return Scan(measured=True) if _agree(whole) else Scan(True, first)


def compare(before: np.ndarray, after: np.ndarray) -> tuple[float, float] | None:
    """(own contrast over the lesser weave's, weave of bottom before top over the other way round);
    two (H, W) int16.

    None where too little moves.
    """
    moving = (np.abs(after - before) > MOVING)[1:-1]
    if before.shape[0] < 8 or moving.mean() < LEAST_MOVING:
        return None
    own = _contrast(before, before, moving)
    late, early = _contrast(after, before, moving), _contrast(before, after, moving)
    return own / max(min(late, early), 1e-3), early / max(late, 1e-3)


def _contrast(even: np.ndarray, odd: np.ndarray, moving: np.ndarray) -> float:
    """Of the weave of one picture's even lines with another's odd ones: mean second difference down
    the columns.
    """
    woven = np.empty_like(even)
    woven[0::2], woven[1::2] = even[0::2], odd[1::2]
    return float(np.abs(2 * woven[1:-1] - woven[:-2] - woven[2:])[moving].mean())


def _luma(frame: av.VideoFrame) -> np.ndarray | None:
    """(H, W / 2) int16: every second column; of a large picture the middle. None where its pixels
    cannot be read.
    """
    try:
        luma = frame.to_ndarray(
            format="gray", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU709
        )
    except FFmpegError:  # whoever reads the colours says so
        return None
    left, top = max(0, frame.width - 960) // 2, max(0, frame.height - 540) // 4 * 2
    return luma[top : top + 540, left : left + 960 : 2].astype(np.int16)


def _agree(votes: list[bool]) -> bool:
    return len(votes) >= PAIRS and sum(votes) >= AGREE * len(votes)
