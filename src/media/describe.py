"""What a decoded frame and its stream say of the video: size, rate, colour, orientation."""

import struct
from fractions import Fraction

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from src.media.frames import VideoInfo

_MATRICES = {
    1: ("bt709", Colorspace.ITU709),
    4: ("fcc", Colorspace.FCC),
    5: ("bt470bg", Colorspace.ITU601),
    6: ("smpte170m", Colorspace.ITU601),
    7: ("smpte240m", Colorspace.SMPTE240M),
    9: ("bt2020nc", Colorspace.BT2020),
    10: ("bt2020c", Colorspace.BT2020),
}
"""Matrix codes of ISO/IEC 23091-2: ffmpeg's name, and what swscale calls it."""

_FFMPEG_NAMES = {
    "GAMMA22": "bt470m",
    "GAMMA28": "bt470bg",
    "IEC61966_2_1": "iec61966-2-1",
    "BT2020_10": "bt2020-10",
    "BT2020_12": "bt2020-12",
    "ARIB_STD_B67": "arib-std-b67",
}
"""Where ffmpeg writes a primaries or transfer code otherwise than PyAV."""


def describe(stream: av.VideoStream, first: av.VideoFrame) -> VideoInfo:
    """From the stream's header and its first frame, which knows more."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
    return VideoInfo(
        width=first.width,
        height=first.height,
        rate=Fraction(rate),
        time_base=Fraction(stream.time_base or 1 / Fraction(rate)),
        primaries=_tag(ColorPrimaries, first.color_primaries),
        transfer=_tag(ColorTrc, first.color_trc),
        matrix=matrix_of(first)[0],
        full_range=is_full(first),
        rotation=(-round(first.rotation / 90) * 90) % 360,
        sample_aspect_ratio=Fraction(stream.sample_aspect_ratio or 1),
        frames=stream.frames or None,
        bit_depth=max(component.bits for component in first.format.components),
        chroma=_chroma(first.format),
        display_matrix=_display_matrix(first),
        seconds=stream.container.duration / av.time_base if stream.container.duration else None,
    )


def matrix_of(frame: av.VideoFrame) -> tuple[str | None, Colorspace]:
    """The matrix's name, None where the file does not say; then the one guessed from the size."""
    name, matrix = _MATRICES.get(int(frame.colorspace), (None, None))
    if matrix is None:
        matrix = guessed_matrix(frame.width, frame.height)
    return name, matrix


def guessed_matrix(width: int, height: int) -> Colorspace:
    """What players take where a file does not say: bt601 below 720 lines and bt709 from there on."""
    return Colorspace.ITU601 if min(width, height) < 720 else Colorspace.ITU709


def is_full(frame: av.VideoFrame) -> bool:
    """Whether luma takes all of its values, not 16 to 235."""
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb


def _tag(kind: type, value: int) -> str | None:
    """ffmpeg's name for a primaries or transfer code; None for "unspecified" and for codes without a name."""
    member = next((m for m in kind if int(m) == int(value)), None)
    if member is None or member.name == "UNSPECIFIED":
        return None
    return _FFMPEG_NAMES.get(member.name, member.name.lower())


def _display_matrix(first: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix of FFmpeg (nine int32), where the frame has one."""
    data = first.side_data.get("DISPLAYMATRIX")
    return struct.unpack("9i", bytes(data)) if data is not None else None


def _chroma(layout: av.VideoFormat) -> str:
    """ "420", "422" or "444", from how much narrower and lower the second plane is than the first."""
    if layout.is_rgb:
        return "444"
    if len(layout.components) < 3:
        return "420"
    narrow, low = layout.chroma_width(1024) < 1024, layout.chroma_height(1024) < 1024
    return "444" if not narrow else "420" if low else "422"
