"""The video reader: a stream of RGB frames, with what the file says about itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.video.reformatter import ColorRange, Interpolation

from src.core.errors import BadInputError, MissingFileError
from src.media.describe import describe, is_full, matrix_of
from src.media.frames import Frame

_SHARE_LOST = 0.02
"""A container may state a few frames more than it shows (edit lists); beyond this share the file is cut short."""

_EARLIER = (0, 1, 10)
"""Seconds before the wanted time that a seek tries: without an index it ends amid frames whose keyframe is behind."""


class VideoReader:
    """Reads the first video stream of `path`; iterate once, then close, or use as a context manager.

    deep: keep more than 8 bits as uint16 in [0, 65535]; otherwise every frame is uint8. Frames keep their own pts,
    at a variable rate too, and their stored orientation: `info.rotation` says how to turn them for display.
    hardware: decode with NVDEC where it works, else on the CPU.
    Raises MissingFileError, or BadInputError where no picture can be decoded; while iterating, BadInputError
    where the file is damaged or cut short.
    """

    def __init__(self, path: Path | str, deep: bool = False, hardware: bool = False) -> None:
        self.path = Path(path)
        self._hardware, self._sought = hardware, False
        self._begin()
        self.info = describe(self._stream, self._first)
        self.begins_s = first_time(self._container)
        self._format = "rgb48le" if deep and self.info.bit_depth > 8 else "rgb24"

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.pictures():
            yield frame.to_rgb()

    def pictures(self) -> Iterator["Picture"]:
        """The frames with their timestamps, not yet turned to RGB: for a caller that skips some."""
        step = max(1, round(1 / (self.info.rate * self.info.time_base)))
        count, pts, end = 0, -step, 0
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else pts + step
            yield Picture(self, frame, pts)
            count, end = count + 1, pts + max(step, int(frame.duration or 0))
        self._check_whole(count, float(end * self.info.time_base))

    def seek(self, time_s: float) -> None:
        """Begin at a keyframe shortly before a time of the file, in seconds; call it before iterating.

        A file that states no times, has no keyframes or cannot be sought in is read from its beginning.
        """
        if self._first.pts is None:
            return
        self._sought = any(self._lands(time_s, earlier) for earlier in _EARLIER)
        if not self._sought:
            self.close()
            self._begin()

    def _lands(self, time_s: float, earlier: float) -> bool:
        """Whether a seek to `earlier` seconds before a time finds a frame not after it that needs none before it."""
        try:
            self._container.seek(int((time_s - earlier) / self._stream.time_base), stream=self._stream)
            self._frames = self._container.decode(self._stream)
            first = next(self._frames, None)
        except (av.FFmpegError, OverflowError):  # no file has times that overflow FFmpeg's
            return False
        if first is None or first.pts is None or first.pts * self._stream.time_base > time_s or not first.key_frame:
            return False  # amid an intra refresh the first frame is no keyframe, and wrong
        self._first = first
        return True

    def close(self) -> None:
        """Release the file; iterating afterwards is an error."""
        self._container.close()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _begin(self) -> None:
        self._container = _open(self.path, self._hardware)
        self._stream = _video_stream(self._container, self.path)
        self._stream.thread_type = "AUTO"
        self._frames = self._container.decode(self._stream)
        self._first = self._decode_first()

    def _decode_first(self) -> av.VideoFrame:
        try:
            first = next(self._frames, None)
        except av.FFmpegError as error:
            self.close()
            raise BadInputError(f"{self.path} is damaged: no frame can be decoded ({_reason(error)})") from None
        if first is None or first.width < 1 or first.height < 1:
            self.close()
            raise BadInputError(f"{self.path} holds no video frame; a clip needs at least one")
        return first

    def _decoded(self) -> Iterator[av.VideoFrame]:
        yield self._first
        count = 1
        try:
            for frame in self._frames:
                yield frame
                count += 1
        except av.FFmpegError as error:
            raise BadInputError(f"{self.path} is damaged after frame {count} ({_reason(error)})") from None

    def _check_whole(self, count: int, end: float) -> None:
        stated, seconds = self.info.frames, _stated_seconds(self._container, self._stream)
        shown = float((self._stream.duration or 0) * self.info.time_base)
        if self._sought and stated:  # the frames before the keyframe were not counted
            stated, seconds, end = 0, shown, end - self.begins_s
        elif stated and shown:  # an edit list may hide many, where a part was cut out without coding it anew
            stated = min(stated, round(shown * self.info.rate))
        if stated and count < stated - max(2, _SHARE_LOST * stated):
            raise BadInputError(f"{self.path} is cut short: {count} of {stated} frames are there")
        if not stated and seconds and end < seconds - max(2 / self.info.rate, _SHARE_LOST * seconds):
            raise BadInputError(f"{self.path} is cut short: it ends at {end:.2f} s of {seconds:.2f} s")

    def _rgb(self, frame: av.VideoFrame):
        """(H, W, 3) in the file's own matrix and range, since swscale takes bt601 for everything."""
        return frame.to_ndarray(
            format=self._format,
            src_colorspace=matrix_of(frame)[1],
            src_color_range=ColorRange.JPEG if is_full(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        )


class Picture:
    """A decoded frame that becomes RGB when asked. pts, duration: in units of the stream's time base."""

    def __init__(self, reader: VideoReader, frame: av.VideoFrame, pts: int) -> None:
        self._reader, self._frame = reader, frame
        self.pts, self.duration = pts, int(frame.duration or 0)

    def to_rgb(self) -> Frame:
        return Frame(self._reader._rgb(self._frame), self.pts, self.duration)


def first_time(container: av.container.InputContainer) -> float:
    """When a file begins, in seconds: 0 for most, any time for a transport stream; a coder's lead-in does not count."""
    return max(0.0, (container.start_time or 0) / av.time_base)


def _open(path: Path, hardware: bool = False) -> av.container.InputContainer:
    if not path.exists():
        raise MissingFileError(f"there is no video at {path}")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a video")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path} is empty (0 bytes), not a video")
    try:
        return av.open(str(path), hwaccel=HWAccel("cuda", allow_software_fallback=True) if hardware else None)
    except (av.FFmpegError, OSError) as error:
        raise BadInputError(f"{path} cannot be read as a video ({_reason(error)})") from None


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        container.close()
        raise BadInputError(f"{path} has no video stream, only {kinds}")
    cover = av.stream.Disposition.attached_pic
    stream = next((s for s in container.streams.video if not s.disposition & cover), container.streams.video[0])
    if stream.codec_context is None:
        container.close()
        raise BadInputError(f"{path} is coded in a way this build of FFmpeg cannot decode")
    return stream


def _stated_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """When the container says the last frame ends: Matroska's own tag, or its duration where nothing else is in it."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    alone = len(container.streams) == 1 and "matroska" in container.format.name
    return container.duration / av.time_base if alone and container.duration else None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
