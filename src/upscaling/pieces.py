"""A stream of frames in pieces that the network takes at once: bodies of some frames between frames
of context.

A piece never crosses a cut or the border of a segment, and depends on nothing but the frames in it.
So the same frames fall into the same pieces whether a run is unbroken or goes on from a segment.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from src.media.frames import Frame
from src.upscaling.shots import is_new_shot, small_grey


@dataclass
class Piece:
    """frames: context before, body, context after. index: of the body's first frame in the video.

    before, after: how many of the frames are context. opens: whether the body begins a shot.
    """

    index: int
    frames: list[Frame]
    before: int
    after: int
    opens: bool

    @property
    def body(self) -> list[Frame]:
        return self.frames[self.before : len(self.frames) - self.after]


@dataclass
class _Seen:
    """A frame with what must be known of it to cut pieces."""

    index: int
    frame: Frame
    opens: bool
    thumb: np.ndarray = field(repr=False)


def pieces(
    frames: Iterable[Frame], size: int, context: int, segment: int, first: int = 0
) -> Iterator[Piece]:
    """Cut frames into pieces of at most `size`.

    context: frames to either side that a result depends on. segment: pieces end at its multiples.
    first: the body of the first piece begins at this frame (a multiple of segment); `frames` begins
    up to `context` frames before it, at index max(0, first - context), and those are context only.
    """
    held: list[_Seen] = []
    begin = first
    for seen in _marked(frames, max(0, first - context)):
        held.append(seen)
        while (end := _body_end(held, begin, size, segment, context)) is not None:
            yield _piece(held, begin, end, context)
            begin = end
            held = [item for item in held if item.index >= begin - context]
    while held and begin <= held[-1].index:
        end = _cut_at(held, begin, size, segment)
        yield _piece(held, begin, end, context)
        begin = end


def _marked(frames: Iterable[Frame], index: int) -> Iterator[_Seen]:
    before: np.ndarray | None = None
    for number, frame in enumerate(frames, start=index):
        thumb = small_grey(frame.array)
        opens = number == 0 or (before is not None and is_new_shot(before, thumb))
        yield _Seen(number, frame, opens, thumb)
        before = thumb


def _cut_at(held: list[_Seen], begin: int, size: int, segment: int) -> int:
    """Where the body that begins at `begin` ends: after `size` frames, at a segment, a cut, or what
    is there.
    """
    end = min(begin + size, (begin // segment + 1) * segment, held[-1].index + 1)
    cut = next((item.index for item in held if begin < item.index < end and item.opens), None)
    return end if cut is None else cut


def _body_end(held: list[_Seen], begin: int, size: int, segment: int, context: int) -> int | None:
    """The end of the next body once enough is seen after it to know its context; None where it is
    not yet.
    """
    if not held or held[-1].index < begin:
        return None
    end = _cut_at(held, begin, size, segment)
    full = end == min(begin + size, (begin // segment + 1) * segment)
    after = [item for item in held if item.index >= end]
    closed = any(item.opens for item in after[:context]) or len(after) >= context
    return end if (full or (after and after[0].opens)) and closed else None


def _piece(held: list[_Seen], begin: int, end: int, context: int) -> Piece:
    body = [item for item in held if begin <= item.index < end]
    before = [item for item in held if begin - context <= item.index < begin]
    opened = max((i for i, item in enumerate([*before, body[0]]) if item.opens), default=0)
    before = before[opened:]
    after = []
    for item in (item for item in held if end <= item.index < end + context):
        if item.opens:
            break
        after.append(item)
    frames = [item.frame for item in (*before, *body, *after)]
    return Piece(begin, frames, len(before), len(after), body[0].opens)


def distinct(frames: list[Frame]) -> tuple[list[int], list[int]]:
    """Frames that differ from the one before them, and for each frame which of those it shows.

    Returns (places of the distinct frames, index into them for every frame). Duplicates, as
    telecine and screen recordings hold them, cost no inference.
    """
    kept, shows = [0], [0]
    for place in range(1, len(frames)):
        if not np.array_equal(frames[place].array, frames[kept[-1]].array):
            kept.append(place)
        shows.append(len(kept) - 1)
    return kept, shows
