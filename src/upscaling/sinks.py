"""Where finished frames go: closed segments of video, or numbered pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np

from src.core.errors import OutputError
from src.core.output_errors import output_error
from src.media.clips import turned
from src.media.frames import Frame, VideoInfo
from src.media.pictures import as_png
from src.media.segments import SegmentWriter, VideoFormat


class Sink(Protocol):
    """Takes segments one after the other."""

    def write(self, segment: int, frame: Frame) -> None: ...

    def finish_segment(self) -> None:
        """The segment counts from now on."""
        ...

    def abort(self) -> None:
        """Leave nothing of the segment that is not finished."""
        ...


class VideoSink:
    """Segments of encoded video in a folder."""

    def __init__(self, folder: Path, video: VideoFormat) -> None:
        self.folder, self.video = folder, video
        self._writer: SegmentWriter | None = None

    def write(self, segment: int, frame: Frame) -> None:
        if self._writer is None:
            self._writer = SegmentWriter(self.folder, segment, self.video)
        self._writer.write(frame)

    def finish_segment(self) -> None:
        if self._writer is not None:
            self._writer.finish()
            self._writer = None

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.abort()
            self._writer = None


def _numbered(folder: Path) -> list[Path]:
    """The pictures of a folder that a sink has written."""
    return [path for path in folder.glob("*.png") if len(path.stem) == 8 and path.stem.isdecimal()]


class PictureSink:
    """Numbered PNGs in the target folder, 8 or 16 bit, turned as the video says they are to be
    shown.

    A segment counts when its table of names is in `folder`.
    """

    def __init__(self, target: Path, folder: Path, first: int, info: VideoInfo) -> None:
        self.target, self.folder, self.number, self.info = target, folder, first, info
        self._segment, self._names = -1, []
        target.mkdir(parents=True, exist_ok=True)
        for path in _numbered(target):
            # of an earlier run that is replaced, or of a segment that was not finished
            if int(path.stem) >= first:
                path.unlink()

    def write(self, segment: int, frame: Frame) -> None:
        self._segment = segment
        path = self.target / f"{self.number:08d}.png"
        stored = frame.array if frame.alpha is None else np.dstack([frame.array, frame.alpha])
        code = as_png(turned(stored, self.info), self.info)
        try:
            path.write_bytes(code)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise output_error(path, error, "--output") from None
        self._names.append(path)
        self.number += 1

    def finish_segment(self) -> None:
        try:
            (self.folder / f"{self._segment:06d}.bin").write_bytes(b"")
            (self.folder / f"{self._segment:06d}.json").write_text(
                json.dumps([p.name for p in self._names]), encoding="utf-8"
            )
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror}") from None
        self._names = []

    def abort(self) -> None:
        for path in self._names:
            path.unlink(missing_ok=True)
