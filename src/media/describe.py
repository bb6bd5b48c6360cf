"""What a decoded frame and its stream say of the video: size, rate, colour, orientation."""

import struct
import threading
import time
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, cast

import av
from av import logging
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Stream
from av.video.reformatter import ColorPrimaries, ColorTrc

from src.media.frames import VideoInfo
from src.media.matrices import matrix_name
from src.media.pixels import has_alpha, is_full_range

SLOWEST, FASTEST = Fraction(1, 1000), Fraction(1000)
"""Frames a second beyond which a stated rate is none."""
ANIMATIONS = ("gif", "apng", "webp")
"""Animated pictures: RGB or a palette, which players expect as 4:2:0 once they are a video."""
LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
"""Where chroma samples lie, as FFmpeg names it, in the order of its numbers from 1 on."""
_DUMPS = threading.Lock()
SPEAKING_S = 0.002
"""A message takes microseconds."""

_FFMPEG_NAMES = {
    "GAMMA22": "bt470m",
    "GAMMA28": "bt470bg",
    "IEC61966_2_1": "iec61966-2-1",
    "IEC61966_2_4": "iec61966-2-4",
    "BT1361_ECG": "bt1361e",
    "LOG": "log100",
    "LOG_SQRT": "log316",
    "BT2020_10": "bt2020-10",
    "BT2020_12": "bt2020-12",
    "ARIB_STD_B67": "arib-std-b67",
}
"""Where ffmpeg writes a primaries or transfer code otherwise than PyAV."""
PYAV_NAMES = {name: member for member, name in _FFMPEG_NAMES.items()}


def describe_stream(stream: av.VideoStream, first: av.VideoFrame) -> VideoInfo:
    """From the stream's header and its first frame, which knows more."""
    rate, said, animation = (
        rate_of(stream),
        stream_line(stream),
        stream.codec_context.name in ANIMATIONS,
    )
    return VideoInfo(
        width=first.width,
        height=first.height,
        rate=rate,
        time_base=Fraction(stream.time_base or 1 / rate),
        primaries=_tag(ColorPrimaries, first.color_primaries),
        transfer=_tag(ColorTrc, first.color_trc),
        matrix=matrix_name(first),
        full_range=is_full_range(first) and not animation,
        rotation=(-round(first.rotation / 90) * 90) % 360,
        sample_aspect_ratio=Fraction(stream.sample_aspect_ratio or 1),
        frames=stream.frames or None,
        bit_depth=max(component.bits for component in first.format.components),
        chroma="420" if animation else chroma_of(first.format),
        display_matrix=_display_matrix(first),
        seconds=seconds_of(stream),
        alpha=has_alpha(first.format),
        hidden_alpha=stream.metadata.get("alpha_mode") == "1" and not has_alpha(first.format),
        chroma_location=next(
            (name for name in LOCATIONS if f", {name})" in said or f", {name}," in said), None
        ),
        mastering=_numbers(first, "MASTERING_DISPLAY_METADATA", 22),
        light=_numbers(first, "CONTENT_LIGHT_LEVEL", 2),
        dolby_vision="DOVI configuration record" in said or "DOVI_METADATA" in side_data(first),
    )


def file_of(stream: Stream) -> InputContainer:
    """The file that a stream is read from, which PyAV's types know as any container."""
    return cast(InputContainer, stream.container)


def seconds_of(stream: Stream) -> float | None:
    """How long the file plays, where it says so."""
    length = file_of(stream).duration
    return length / av.time_base if length else None


def pts_of(frame: av.VideoFrame) -> int:
    """The time of a frame that the reader has given one."""
    assert frame.pts is not None
    return frame.pts


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second: the average, unless no camera has it, as in raw DV; then what FFmpeg
    guesses.
    """
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and SLOWEST <= rate <= FASTEST:
            return Fraction(rate)
    return Fraction(25)


def stream_line(stream: Stream) -> str:
    """What FFmpeg prints of a stream, which tells some things that PyAV does not: its line, and
    those of side data.
    """
    with _DUMPS:
        logging.set_level(logging.INFO)  # what a decoding thread says of itself is VERBOSE
        logging.set_libav_level(logging.VERBOSE)
        try:
            lines = cast(Any, file_of(stream)).dumps_format().splitlines()
        finally:
            _be_quiet()
    begins = [
        n for n, line in enumerate(lines) if line.startswith(("  Stream #0:", "    Stream #0:"))
    ]
    at = next(
        (n for n in begins if lines[n].split("#0:")[1].startswith(_numbered(stream.index))), None
    )
    if at is None:
        return ""
    end = next((n for n in begins if n > at), len(lines))
    return "\n".join(
        [lines[at], *(line for line in lines[at + 1 : end] if line.startswith("      DOVI "))]
    )


def _be_quiet() -> None:
    """Hear no messages any more, in C alone, and give the interpreter up for a moment: a thread of
    an encoder that began a message before waits for the interpreter, and who frees its encoder
    holds that until the thread has ended. Decoders are silent from the first (`open_file`).
    """
    logging.set_level(logging.PANIC)
    logging.set_libav_level(logging.PANIC)
    logging.restore_default_callback()
    time.sleep(SPEAKING_S)


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """A frame's side data by name, of each kind the first."""
    found = cast(Iterable[SideData], frame.side_data)  # a mapping that iterates over its values
    return {data.type.name: bytes(data) for data in reversed(list(found))}


def _numbered(index: int) -> tuple[str, ...]:
    return tuple(f"{index}{mark}" for mark in ("[", "(", ":"))


def _numbers(frame: av.VideoFrame, kind: str, count: int) -> tuple[int, ...] | None:
    data = frame.side_data.get(kind)
    return struct.unpack_from(f"{count}i", bytes(data)) if data is not None else None


def _tag(kind: type[ColorPrimaries] | type[ColorTrc], value: int) -> str | None:
    """ffmpeg's name for a primaries or transfer code; None for "unspecified" and for codes without
    a name.
    """
    member = next((m for m in kind if int(m) == int(value)), None)
    if member is None or member.name == "UNSPECIFIED":
        return None
    return _FFMPEG_NAMES.get(member.name, member.name.lower())


def _display_matrix(first: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix of FFmpeg (nine int32), where the frame has one."""
    data = first.side_data.get("DISPLAYMATRIX")
    return struct.unpack("9i", bytes(data)) if data is not None else None


def chroma_of(layout: av.VideoFormat) -> str:
    """ "420", "422" or "444", from how much narrower and lower the second plane is than
    the first.
    """
    if layout.is_rgb or layout.has_palette:
        return "444"
    if len(layout.components) < 3:
        return "420"
    narrow, low = layout.chroma_width(1024) < 1024, layout.chroma_height(1024) < 1024
    return "444" if not narrow else "420" if low else "422"
