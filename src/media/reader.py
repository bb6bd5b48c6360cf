"""The video reader: a stream of RGB frames, with what the file says about itself."""

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from src.core.errors import BadInputError
from src.core.files import remembered
from src.media.describe import describe, side_data
from src.media.fields import FIELD, FRAME, REFUSE, Fields
from src.media.frames import Frame, VideoInfo
from src.media.opening import open_file, words
from src.media.pixels import rgb_of
from src.media.scan import FRAMES, Scan, scan_of
from src.media.timeline import Timeline, timeline_of

_SHARE_LOST = 0.02
"""A container may state a few frames more than it shows (edit lists); beyond this share the file is cut short."""

_EARLIER = (0, 1, 10)
"""Seconds before the wanted time that a seek tries: without an index it ends amid frames whose keyframe is behind."""


class VideoReader:
    """Reads the first video stream of `path`; iterate once, then close, or use as a context manager.

    deep: keep more than 8 bits as uint16 in [0, 65535]; otherwise every frame is uint8. alpha: frames have theirs,
    where the video has any. Frames keep their own pts, at a variable rate too, and their stored orientation:
    `info.rotation` says how to turn them for display. A picture of another size than the first is scaled to it.
    interlaced: pictures woven of two fields become progressive: "frame" at the same rate, "field" at twice the rate;
    "refuse" raises. hardware: decode with NVDEC where it works, else on the CPU.
    `notes` says, once iterated, what a person should know of it.
    Raises MissingFileError, or BadInputError where no picture can be decoded; while iterating, BadInputError
    where the file is damaged or cut short.
    """

    def __init__(
        self, path: Path | str, deep: bool = False, hardware: bool = False, interlaced: str = FRAME, alpha: bool = False
    ) -> None:
        self.path, self.notes = Path(path), []
        self._hardware, self._sought, self._mode = hardware, False, interlaced
        self._begin()
        self.scan = _scan(self.path)
        self._stored = describe(self._stream, self._first)
        self.info = self._shown(self._stored)
        self.origin = origin(self._container)
        self.begins_s = float(self.origin)
        self._deep, self._alpha = deep and self.info.bit_depth > 8, alpha and self.info.alpha

    def _shown(self, info: VideoInfo) -> VideoInfo:
        """What is known of the frames that are given, from what is known of the stored ones."""
        if self.scan.interlaced and self._mode == REFUSE:
            self.close()
            raise Fields(self.scan, self._mode, str(self.path)).refuse()
        if not self.scan.interlaced:
            return info
        info = replace(info, time_base=info.time_base / 2)
        if self._mode != FIELD:
            return info
        return replace(info, rate=2 * info.rate, frames=2 * info.frames if info.frames else None)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.pictures():
            yield frame.to_rgb()

    def pictures(self) -> Iterator["Picture"]:
        """The frames with their timestamps, not yet turned to RGB: for a caller that skips some."""
        size, told = (self.info.width, self.info.height), set()
        for frame in Fields(self.scan, self._mode, str(self.path))(self._timed()):
            if (frame.width, frame.height) != size and (frame.width, frame.height) not in told:
                told.add((frame.width, frame.height))
                self._note_size(frame, size)
            yield Picture(self, frame, frame.pts)

    def _timed(self) -> Iterator[av.VideoFrame]:
        """The decoded frames, each with a time; raises at the end where some that the file states are not there."""
        base = self._stored.time_base
        step = max(1, round(1 / (self._stored.rate * base)))
        count, pts, end = 0, -step, 0
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else pts + step
            count, end = count + 1, pts + max(step, int(frame.duration or 0))
            frame.pts, frame.time_base = pts, base
            yield frame
        self._check_whole(count, float(end * base))

    def _note_size(self, frame: av.VideoFrame, size: tuple[int, int]) -> None:
        at = float(frame.pts * self.info.time_base) - self.begins_s
        self.notes.append(
            f"from {at:.2f} s on the picture is {frame.width}x{frame.height}, not {size[0]}x{size[1]}; "
            "it is scaled to the first size"
        )

    def seek(self, time_s: float) -> None:
        """Begin at a keyframe shortly before a time of the file, in seconds; call it before iterating.

        A file that states no times, has no keyframes or cannot be sought in is read from its beginning.
        """
        if self._first.pts is None or self._timeline.jumps:
            return
        self._sought = any(self._lands(time_s, earlier) for earlier in _EARLIER)
        if not self._sought:
            self.close()
            self._begin()

    def _lands(self, time_s: float, earlier: float) -> bool:
        """Whether a seek to `earlier` seconds before a time finds a frame not after it that needs none before it."""
        try:
            self._container.seek(int((time_s - earlier) / self._stream.time_base), stream=self._stream)
            self._frames = self._packets_decoded()
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
        self._container = open_file(self.path, self._hardware)
        self._stream = video_stream(self._container, self.path)
        self._timeline = _timeline(self.path)
        self._stream.thread_type = "AUTO"
        self._frames = self._packets_decoded()
        self._first = self._decode_first()

    def _packets_decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            yield from self._timeline.place(packet).decode()

    def _decode_first(self) -> av.VideoFrame:
        try:
            first = next(self._frames, None)
        except av.FFmpegError as error:
            self.close()
            raise BadInputError(f"{self.path} is damaged: no frame can be decoded ({words(error)})") from None
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
            raise BadInputError(f"{self.path} is damaged after frame {count} ({words(error)})") from None

    def _check_whole(self, count: int, end: float) -> None:
        info = self._stored
        stated, seconds = info.frames, _stated_seconds(self._container, self._stream)
        shown = float((self._stream.duration or 0) * info.time_base)
        if self._sought and stated:  # the frames before the keyframe were not counted
            stated, seconds, end = 0, shown, end - self.begins_s
        elif stated and shown:  # an edit list may hide many, where a part was cut out without coding it anew
            stated = min(stated, round(shown * info.rate))
        if "avi" in self._container.format.name and shown:  # frames that a recorder dropped are counted, and empty
            stated, seconds = 0, shown
        if stated and count < stated - max(2, _SHARE_LOST * stated):
            raise BadInputError(f"{self.path} is cut short: {count} of {stated} frames are there")
        if not stated and seconds and end < seconds - max(2 / info.rate, _SHARE_LOST * seconds):
            raise BadInputError(f"{self.path} is cut short: it ends at {end:.2f} s of {seconds:.2f} s")


class Picture:
    """A decoded frame that becomes RGB when asked. pts, duration: in units of the stream's time base."""

    def __init__(self, reader: VideoReader, frame: av.VideoFrame, pts: int) -> None:
        self._reader, self._frame = reader, frame
        self.pts, self.duration = pts, int(frame.duration or 0)

    def to_rgb(self) -> Frame:
        info = self._reader.info
        array, alpha = rgb_of(self._frame, (info.width, info.height), self._reader._deep, self._reader._alpha)
        return Frame(array, self.pts, self.duration, alpha, side_data(self._frame).get("A53_CC"))


def origin(container: av.container.InputContainer) -> Fraction:
    """The time of a file that counts as 0, in seconds: when its first track begins.

    Transport streams begin at any time. A coder's lead-in before 0 does not count, but a picture before 0 does.
    """
    begin = Fraction(container.start_time or 0, av.time_base)
    if begin >= 0:
        return begin
    stream = video_stream(container, Path(container.name))
    return min(Fraction(0), Fraction(stream.start_time or 0) * stream.time_base)


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video track that is not a cover picture. Raises BadInputError where there is none."""
    cover = av.stream.Disposition.attached_pic
    stream = next((s for s in container.streams.video if not s.disposition & cover), None)
    if stream is None:
        kinds = ", ".join(sorted({_kind(stream) for stream in container.streams})) or "nothing"
        container.close()
        raise BadInputError(f"{path} has no video stream, only {kinds}")
    if stream.codec_context is None:
        container.close()
        raise BadInputError(f"{path} is coded in a way this build of FFmpeg cannot decode")
    return stream


def _kind(stream: av.stream.Stream) -> str:
    return "a cover picture" if stream.type == "video" else str(stream.type)


def _scan(path: Path) -> Scan:
    """Looked at once for each state of the file; what is damaged is told by who decodes all of it."""
    return remembered(path, "scan", lambda: scan_of(_first_frames(path)))


def _first_frames(path: Path) -> Iterator[av.VideoFrame]:
    with open_file(path) as container:
        try:
            yield from islice(container.decode(video_stream(container, path)), FRAMES)
        except av.FFmpegError:
            return


def _timeline(path: Path) -> Timeline:
    line = remembered(path, "timeline", lambda: timeline_of(path))
    return Timeline(line.starts, line.moves)


def _stated_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """When the container says the last frame ends: Matroska's own tag, or its duration where nothing else is in it."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    alone = len(container.streams) == 1 and "matroska" in container.format.name
    return container.duration / av.time_base if alone and container.duration else None
