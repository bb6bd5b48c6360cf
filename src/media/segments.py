"""Closed pieces of encoded video on disk: what an interrupted run has finished, it need not do
again.

A segment is two files: `NNNNNN.bin`, the packets one after the other, and `NNNNNN.json`, their
table, written last under its final name. A segment whose table is not there was not finished. Every
segment has an encoder of its own, so no frame refers to one outside it (a closed GOP), and the same
frames give the same bytes whenever they are made.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.codec.context import Flags
from av.error import FFmpegError

from src.core.errors import BadInputError
from src.core.output_errors import output_error, reason_in
from src.media.captions import CODES, with_captions
from src.media.colour import tag, to_yuv
from src.media.encoders import Encoder
from src.media.frames import Frame, VideoInfo
from src.media.pixels import has_alpha
from src.media.priority import kept_priority

CLEAR = "matroska_block_additional"
"""What FFmpeg calls the coded transparency beside a VP9 frame."""


@dataclass(frozen=True)
class VideoFormat:
    """How video is encoded. info: of the source, whose colours, rate and time base are kept; width,
    height: of the output; layout: pixel format; threads: of the encoder, 0 for as many as there are
    cores.
    """

    encoder: Encoder
    options: tuple[tuple[str, str], ...]
    info: VideoInfo
    width: int
    height: int
    layout: str
    threads: int = 0

    @property
    def keeps_alpha(self) -> bool:
        return has_alpha(av.VideoFormat(self.layout))

    @property
    def keeps_captions(self) -> bool:
        return self.encoder.codec in CODES

    def configure(self, context: av.VideoCodecContext) -> None:
        """Set up an encoder that is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.layout
        context.time_base, context.framerate = self.info.time_base, self.info.rate
        context.sample_aspect_ratio = self.info.sample_aspect_ratio
        context.options = dict(self.options)
        context.thread_count = self.threads
        tag(context, self.info)


@dataclass(frozen=True)
class Packet:
    """One encoded frame. pts, duration: in the source's time base; order within the segment is
    decoding order.

    clear: what a container keeps beside it, the coded transparency of VP9.
    """

    pts: int
    duration: int
    key: bool
    data: bytes
    clear: bytes = b""


class SegmentWriter:
    """Encodes frames into segment `number` of a folder; `finish()` makes it count, `abort()`
    removes it.

    Raises OutputError when the disk is full or not writable, BadInputError where the encoder
    refuses the video.
    """

    def __init__(self, folder: Path, number: int, video: VideoFormat) -> None:
        self.video, self.path = video, folder / f"{number:06d}.bin"
        self._table: list[tuple[int, int, bool, int, int]] = []
        self._frames: dict[int, tuple[int, bytes | None]] = {}
        self._context = open_encoder(video)
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise output_error(self.path, error, "--output") from None

    def write(self, frame: Frame) -> None:
        """Append a frame of the output's size; pts must grow."""
        alpha = frame.alpha if self.video.keeps_alpha else None
        picture = to_yuv(frame.array, self.video.info, self.video.layout, alpha)
        picture.pts, picture.time_base = frame.pts, self.video.info.time_base
        self._frames[frame.pts] = (
            frame.duration,
            frame.captions if self.video.keeps_captions else None,
        )
        self._store(self._context.encode(picture))

    def finish(self) -> None:
        """Flush the encoder, then write the table under its final name."""
        self._store(self._context.encode(None))
        try:
            self._file.close()
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(self._table), encoding="utf-8")
            partial.replace(self.path.with_suffix(".json"))
        except OSError as error:
            self.abort()
            raise output_error(self.path, error, "--output") from None

    def abort(self) -> None:
        """Leave nothing of this segment."""
        with suppress(OSError):  # what could not be written is tried again here, and fails again
            self._file.close()
        for suffix in (".bin", ".partial", ".json"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)

    def _store(self, packets: list[av.Packet]) -> None:
        try:
            for packet in packets:
                assert packet.pts is not None  # every frame was given one
                pts = round(packet.pts * packet.time_base / self.video.info.time_base)
                duration, captions = self._frames.pop(pts, (0, None))
                data, clear = bytes(packet), bytes(packet.get_sidedata(CLEAR))
                if captions:
                    data = with_captions(data, captions, self.video.encoder.codec)
                self._file.write(data + clear)
                self._table.append((pts, duration, packet.is_keyframe, len(data), len(clear)))
        except OSError as error:
            self.abort()
            raise output_error(self.path, error, "--output") from None


def open_encoder(video: VideoFormat) -> av.VideoCodecContext:
    """An encoder with its parameters in the header, as every container here wants them."""
    context = cast(av.VideoCodecContext, av.CodecContext.create(video.encoder.codec, "w"))
    video.configure(context)
    context.flags |= Flags.global_header
    try:
        with kept_priority():
            context.open()
    except (FFmpegError, ValueError) as error:
        what = f"{video.width}x{video.height} in {video.layout}"
        raise BadInputError(
            f"{video.encoder.codec} does not encode {what} ({reason_in(error)})"
        ) from None
    return context


def finished_segments(folder: Path) -> int:
    """How many segments from the first on are whole."""
    number = 0
    while (folder / f"{number:06d}.json").is_file() and (folder / f"{number:06d}.bin").is_file():
        number += 1
    return number


def read_table(folder: Path, number: int) -> list[tuple[int, int, bool, int, int]]:
    """(pts, duration, key, bytes, bytes of transparency) of each packet of a segment, in decoding
    order.
    """
    return [tuple(row) for row in json.loads((folder / f"{number:06d}.json").read_text("utf-8"))]


def read_packets(folder: Path, count: int) -> Iterator[Packet]:
    """The packets of the first `count` segments, in decoding order."""
    for number in range(count):
        with (folder / f"{number:06d}.bin").open("rb") as file:
            for pts, duration, key, size, clear in read_table(folder, number):
                yield Packet(pts, duration, key, file.read(size), file.read(clear))


def decoding_times(folder: Path, count: int) -> list[int]:
    """A decoding time for every packet, growing and never after its pts.

    The times are the presentation times in order, shifted by the depth of reordering; before the
    first one they go on at the spacing of the first two.
    """
    shown = [row[0] for number in range(count) for row in read_table(folder, number)]
    order = sorted(shown)
    place = {pts: index for index, pts in enumerate(order)}
    depth = max((index - place[pts] for index, pts in enumerate(shown)), default=0)
    step = order[1] - order[0] if len(order) > 1 else 1
    return [
        order[i - depth] if i >= depth else order[0] - (depth - i) * step for i in range(len(order))
    ]
