"""Interlaced pictures as progressive ones (bwdif): one for each field, or one for each pair of
fields. Film in 3:2 pulldown gets its own pictures again (fieldmatch), as many as before.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import av
from av.error import EOFError as EndOfFile
from av.filter import Graph

from src.core.errors import BadInputError
from src.media.describe import pts_of
from src.media.scan import Scan

FIELD, FRAME, REFUSE = "field", "frame", "refuse"
MODES = (FIELD, FRAME, REFUSE)
MATCHED = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")
"""Pixels that fields are matched in; film in others is made progressive as interlaced
pictures are.
"""
FIRST, SECOND = "first", "second"
"""What a picture's `opaque` says of one that was a field."""


class Fields:
    """Deinterlaces what the scan or a picture's own flag says is interlaced; progressive pictures
    pass.

    mode: "field", "frame" or "refuse". Where the scan says interlaced, times come out in units half
    as long as they went in, since fields lie between; elsewhere they keep theirs. step: a frame in
    the units that go in. began: when the first interlaced picture of a video came that had seemed
    progressive, in those units.
    """

    def __init__(self, scan: Scan, mode: str, name: str, step: int = 1) -> None:
        self.scan, self.mode, self.name = scan, mode, name
        self._step = step
        self._last: int | None = None
        self._graph: Graph | None = None
        self._shape: tuple | None = None
        self._given: set[int] = set()
        self._matches = False
        self.began: int | None = None

    def __call__(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Frames with times in `time_base` of each; raises BadInputError where interlaced ones are
        refused.
        """
        for frame in frames:
            if self._graph is None and not self._wanted(frame):
                yield self._passed(frame)
                continue
            if self._graph is not None and self._shape != _shape(frame):
                yield from self._end(self._graph)
            if self._graph is None:
                self._graph = self._begin(frame)
                if self.began is None and not self.scan.woven:
                    self.began = frame.pts
            self._given.add(pts_of(frame))
            self._graph.push(frame)
            yield from self._drained(self._graph)
        if self._graph is not None:
            yield from self._end(self._graph)

    def refuse(self) -> BadInputError:
        """The error where `--interlaced refuse` meets what it refuses."""
        return BadInputError(
            f"{self.name} {self._scan_in_words()}, and --interlaced is refuse; "
            "field gives a picture for each field, frame one for each two"
        )

    def _scan_in_words(self) -> str:
        return (self.scan if self.scan.film else replace(self.scan, interlaced=True)).sentence

    def _wanted(self, frame: av.VideoFrame) -> bool:
        wanted = self.scan.woven or (bool(frame.interlaced_frame) and not self.scan.measured)
        if wanted and self.mode == REFUSE:
            raise self.refuse()
        return wanted

    def _passed(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self.scan.interlaced:
            frame.pts, frame.duration = 2 * pts_of(frame), 2 * (frame.duration or 0)
        return frame

    def _made(self, frame: av.VideoFrame) -> av.VideoFrame:
        """bwdif counts in half units; where it began amid a video, those are rounded to whole ones.

        The second field of a lone picture has the time of the first: it comes half a frame later.
        What a picture carries besides, captions, goes with its first field.
        """
        if self._matches:
            frame.opaque = FIRST
            return frame
        pts = pts_of(frame)
        first = pts % 2 == 0 and pts // 2 in self._given
        self._given.discard(pts // 2)
        if self._last is not None and pts <= self._last:
            pts = self._last + self._step
        self._last = frame.pts = pts
        frame.opaque = FIRST if first else SECOND
        if not self.scan.interlaced:
            frame.pts, frame.duration = pts // 2, (frame.duration or 0) // 2
        return frame

    def _begin(self, frame: av.VideoFrame) -> Graph:
        parity = {"top": "tff", "bottom": "bff"}.get(self.scan.first or "", "auto")
        chosen = "all" if self.scan.measured else "interlaced"
        graph, self._shape = Graph(), _shape(frame)
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        self._matches = self.scan.film and frame.format.name in MATCHED
        mode = FRAME if self.scan.film else self.mode
        if self._matches:
            made = graph.add("fieldmatch", f"order={parity}:combmatch=full")
        else:
            made = graph.add("bwdif", f"mode=send_{mode}:parity={parity}:deint={chosen}")
        sink = graph.add("buffersink")
        source.link_to(made)
        made.link_to(sink)
        graph.configure()
        return graph

    def _end(self, graph: Graph) -> Iterator[av.VideoFrame]:
        graph.push(None)
        yield from self._drained(graph)
        self._graph = None

    def _drained(self, graph: Graph) -> Iterator[av.VideoFrame]:
        while True:
            try:
                yield self._made(cast(av.VideoFrame, graph.pull()))
            except (BlockingIOError, EndOfFile):
                return


def _shape(frame: av.VideoFrame) -> tuple:
    return frame.width, frame.height, frame.format.name
