"""The H.264 writer: yuv420p, bt709, limited range, faststart;
a file appears whole or not at all.
"""

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import psutil
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from src.core.output_errors import output_error
from src.core.paths import beside
from src.media.continued import is_alike, packets_for
from src.media.encoders import ENCODERS, encoder_options
from src.media.opening import open_output

CRF = 16
PRESET = "medium"


class VideoWriter:
    """Writes RGB frames to a temporary file beside `path`; `commit()` finishes it, `abort()`
    removes it.

    width, height: even, in pixels. fps: frames a second. flag: of the command, that names where to
    write. As a context manager it aborts on an exception and otherwise leaves the choice to the
    caller.
    Raises OutputError when the disk is full or not writable.
    """

    def __init__(
        self, path: Path, width: int, height: int, fps: float, flag: str = "--output-path"
    ) -> None:
        self.path, self.flag = Path(path), flag
        self.temporary = beside(self.path, f"{os.getpid()}.partial.mp4")
        self._open, self._begun = False, 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.path)
            self._container = open_output(self.temporary, options={"movflags": "+faststart"})
            self._open = True
            self._stream = self._add_stream(width, height, fps)
        except (OSError, FFmpegError) as error:
            self.abort()
            raise output_error(self.path, error, self.flag) from None

    def _add_stream(self, width: int, height: int, fps: float) -> av.VideoStream:
        rate = self._rate = Fraction(fps).limit_denominator(1001)
        x264 = ENCODERS["x264"]
        stream = self._container.add_stream(
            x264.codec, rate=rate, options=encoder_options(x264, CRF, PRESET)
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        return stream

    def begin_with(self, clip: Path, pictures: Callable[[], Iterable[np.ndarray]]) -> bool:
        """Put a clip's frames first, before any `write`: its very packets where it was encoded as
        this file is, which loses nothing; else `pictures`, its frames, encoded anew. Returns
        whether the packets were taken.
        """
        self._guarded(self._container.start_encoding)
        if not is_alike(clip, self._stream, self._rate):
            for picture in pictures():
                self.write(picture)
            return False
        for packet in packets_for(self._stream, clip):
            self._guarded(lambda packet=packet: self._container.mux(packet))
            self._begun += 1
        return True

    def write(self, array: np.ndarray) -> None:
        """Append one frame: (H, W, 3) uint8 RGB."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
        frame = frame.reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        )
        if self._begun:  # frames are counted on from those whose packets came first
            frame.pts, frame.time_base = self._begun, 1 / self._rate
            self._begun += 1
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        self._guarded(lambda: self._container.mux(self._stream.encode(frame)))

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, FFmpegError) as error:
            self.abort()
            raise output_error(self.path, error, self.flag) from None

    def finish(self) -> Path:
        """Flush and close; returns the whole temporary file, which finishers may still change."""
        self._mux(None)
        try:
            self._open = False
            self._container.close()
        except (OSError, FFmpegError) as error:
            self.abort()
            raise output_error(self.path, error, self.flag) from None
        return self.temporary

    def commit(self) -> Path:
        """Finish if need be and put the file under its final name in one step."""
        if self._open:
            self.finish()
        self.temporary.replace(self.path)
        return self.path

    def abort(self) -> None:
        """Close and leave nothing behind."""
        if self._open:
            self._open = False
            with suppress(OSError, FFmpegError):
                self._container.close()
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()


def sweep(path: Path) -> None:
    """Remove what killed processes left of `path`: partial files whose process is gone."""
    pattern = re.compile(re.escape(beside(path, "").name) + r"(\d+)\.partial\.mp4")
    for file in path.parent.iterdir():
        match = pattern.fullmatch(file.name)
        if match and not psutil.pid_exists(int(match[1])):
            file.unlink(missing_ok=True)
