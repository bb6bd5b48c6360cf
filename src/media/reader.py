"""The video reader: a stream of RGB frames, with what the file says about itself."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from src.core.errors import BadInputError
from src.core.output_errors import reason_in
from src.media.describe import describe_stream, pts_of, side_data
from src.media.fields import FIELD, FRAME, REFUSE, SECOND, Fields
from src.media.frames import Frame, VideoInfo
from src.media.opening import open_file, undecodable
from src.media.pixels import rgb_of
from src.media.places import scan_of_file
from src.media.streams import decoded_frames, video_stream
from src.media.timeline import timeline_of
from src.media.whole import check_whole

_EARLIER = (0, 1, 10)
"""Seconds before the wanted time that a seek tries: without an index it ends amid frames whose
keyframe is behind.
"""


class VideoReader:
    """Reads the first video stream of `path`; iterate once, then close, or use as a context
    manager.

    deep: keep more than 8 bits as uint16 in [0, 65535]; otherwise every frame is uint8. alpha:
    frames have theirs, where the video has any. Frames keep their own pts, at a variable rate too,
    and their stored orientation: `info.rotation` says how to turn them for display. A picture of
    another size than the first is scaled to it. interlaced: pictures woven of two fields become
    progressive: "frame" at the same rate, "field" at twice the rate; "refuse" raises. hardware:
    decode with NVDEC where it works, else on the CPU.
    `notes` says, once iterated, what a person should know of it.
    Raises MissingFileError, or BadInputError where no picture can be decoded; while iterating,
    BadInputError where the file is damaged or cut short.
    """

    def __init__(
        self,
        path: Path | str,
        deep: bool = False,
        hardware: bool = False,
        interlaced: str = FRAME,
        alpha: bool = False,
    ) -> None:
        self.path, self.notes = Path(path), []
        self._hardware, self._sought, self._mode = hardware, False, interlaced
        self._begin()
        self.scan = scan_of_file(self.path)
        self._stored = describe_stream(self._stream, self._first)
        self.info = self._shown(self._stored)
        self.origin = self._origin()
        self.begins_s = float(self.origin)
        self._deep, self._alpha = deep and self.info.bit_depth > 8, alpha and self.info.alpha

    def _origin(self) -> Fraction:
        """The time of the file that counts as 0, in seconds: when its first track begins.

        Transport streams begin at any time. A coder's lead-in before 0 does not count, but a
        picture before 0 does.
        """
        if self._container.start_time is None:  # streams without a container
            return Fraction(self._first.pts or 0) * self._stored.time_base
        shown = Fraction(self._stream.start_time or 0) * self._stored.time_base
        heard = [
            s.start_time * s.time_base
            for s in self._container.streams.audio
            if s.start_time is not None
        ]
        return min(shown, Fraction(0)) if min([shown, *heard]) < 0 else min([shown, *heard])

    def _shown(self, info: VideoInfo) -> VideoInfo:
        """What is known of the frames that are given, from what is known of the stored ones."""
        if self.scan.woven and self._mode == REFUSE:
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
        size = (self.info.width, self.info.height)
        sizes, formats = {size}, {self._first.format.name}
        fields = Fields(self.scan, self._mode, str(self.path), self._step)
        if jumps := self._timeline.jumps:
            places = "one place" if jumps == 1 else f"{jumps} places"
            self.notes.append(f"its clock jumps at {places}; each part follows the one before")
        for frame in fields(self._timed()):
            if (frame.width, frame.height) not in sizes:
                sizes.add((frame.width, frame.height))
                shown = (
                    f"{frame.width}x{frame.height}, not {size[0]}x{size[1]}; it is scaled to the "
                    "first size"
                )
                self._note_from(pts_of(frame), f"the picture is {shown}")
            if frame.format.name not in formats:
                formats.add(frame.format.name)
                names = f"{frame.format.name}, not {self._first.format.name}"
                self._note_from(
                    pts_of(frame), f"its pixels are {names}; they become as those before"
                )
            yield Picture(self, frame, pts_of(frame))
        if fields.began is not None:
            at = float(fields.began * self._stored.time_base - self.origin)
            self.notes.append(f"from {at:.2f} s on there are interlaced pictures, made progressive")

    @property
    def _step(self) -> int:
        """Units of the stream from one frame to the next, at its average rate."""
        return max(1, round(1 / (self._stored.rate * self._stored.time_base)))

    def _timed(self) -> Iterator[av.VideoFrame]:
        """The decoded frames, each with a time; raises at the end where some that the file states
        are not there.
        """
        base, step = self._stored.time_base, self._step
        count, pts, end = 0, -step, 0
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else pts + step
            count, end = count + 1, pts + max(step, int(frame.duration or 0))
            frame.pts, frame.time_base = pts, base
            yield frame
        check_whole(
            self.path,
            self._stream,
            self._stored,
            count,
            float(end * base),
            self.begins_s,
            self._sought,
        )

    def _note_from(self, pts: int, what: str) -> None:
        at = float(pts * self.info.time_base) - self.begins_s
        self.notes.append(f"from {at:.2f} s on {what}")

    def seek(self, time_s: float) -> None:
        """Begin at a keyframe shortly before a time of the file, in seconds; call it before
        iterating.

        A file that states no times, has no keyframes or cannot be sought in is read from its
        beginning.
        """
        if self._first.pts is None or self._timeline.jumps:
            return
        self._sought = any(self._lands(time_s, earlier) for earlier in _EARLIER)
        if not self._sought:
            self.close()
            self._begin()

    def _lands(self, time_s: float, earlier: float) -> bool:
        """Whether a seek to `earlier` seconds before a time finds a frame not after it that needs
        none before it.
        """
        base = self._stored.time_base
        try:
            self._container.seek(int((time_s - earlier) / base), stream=self._stream)
            self._frames = self._packets_decoded()
            first = next(self._frames, None)
        except (FFmpegError, OverflowError):  # no file has times that overflow FFmpeg's
            return False
        if first is None or first.pts is None or first.pts * base > time_s or not first.key_frame:
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
        self._timeline = timeline_of(self.path)
        self._stream.thread_type = "AUTO"
        self._frames = self._packets_decoded()
        self._first = self._decode_first()

    def _packets_decoded(self) -> Iterator[av.VideoFrame]:
        return decoded_frames(self._container, self._stream, self._timeline)

    def _decode_first(self) -> av.VideoFrame:
        try:
            first = next(self._frames, None)
        except FFmpegError as error:
            self.close()
            why = (
                undecodable(self.path)
                or f"is damaged: no frame can be decoded ({reason_in(error)})"
            )
            raise BadInputError(f"{self.path} {why}") from None
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
        except FFmpegError as error:
            raise BadInputError(
                f"{self.path} is damaged after frame {count} ({reason_in(error)})"
            ) from None


class Picture:
    """A decoded frame that becomes RGB when asked. pts, duration: in units of the stream's time
    base.
    """

    def __init__(self, reader: VideoReader, frame: av.VideoFrame, pts: int) -> None:
        self._reader, self._frame = reader, frame
        self.pts, self.duration = pts, int(frame.duration or 0)

    def to_rgb(self) -> Frame:
        info = self._reader.info
        array, alpha = rgb_of(
            self._frame, (info.width, info.height), self._reader._deep, self._reader._alpha
        )
        captions = None if self._frame.opaque == SECOND else side_data(self._frame).get("A53_CC")
        return Frame(array, self.pts, self.duration, alpha, captions)
