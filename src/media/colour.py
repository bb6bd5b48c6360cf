"""The same colours out as in: tags of a stream on an encoder, and RGB back to YUV in the source's own matrix."""

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from src.media.describe import guessed_matrix
from src.media.frames import VideoInfo

_SWSCALE = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
    "bt2020c": Colorspace.BT2020,
}
_MATRIX_CODES = {"bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9, "bt2020c": 10}
_NAMES = {"bt470m": "GAMMA22", "bt470bg": "GAMMA28", "iec61966-2-1": "IEC61966_2_1", "bt2020-10": "BT2020_10",
          "bt2020-12": "BT2020_12", "arib-std-b67": "ARIB_STD_B67"}  # fmt: skip


def tag(context: av.VideoCodecContext, info: VideoInfo) -> None:
    """Put the source's colour tags on an encoder whose size is set; what the source does not say stays unsaid.

    But for the matrix where a player would guess another one for the larger picture than for the source.
    """
    context.color_range = ColorRange.JPEG if info.full_range else ColorRange.MPEG
    if info.primaries:
        context.color_primaries = ColorPrimaries[info.primaries.upper()]
    if info.transfer:
        context.color_trc = ColorTrc[_NAMES.get(info.transfer, info.transfer.upper())]
    if info.matrix:
        context.colorspace = _MATRIX_CODES[info.matrix]
    elif (matrix := swscale_matrix(info)) != guessed_matrix(context.width, context.height):
        context.colorspace = _MATRIX_CODES["smpte170m" if matrix == Colorspace.ITU601 else "bt709"]


def swscale_matrix(info: VideoInfo) -> Colorspace:
    """The matrix to compute with: the tagged one, else the one guessed from the source's size."""
    return _SWSCALE[info.matrix] if info.matrix else guessed_matrix(info.width, info.height)


def to_yuv(array: np.ndarray, info: VideoInfo, layout: str) -> av.VideoFrame:
    """(H, W, 3) RGB, uint8 or uint16, as a frame of pixel format `layout` in the source's matrix and range."""
    deep = array.dtype == np.uint16
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb48le" if deep else "rgb24")
    return frame.reformat(
        format=layout,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=swscale_matrix(info),
        dst_color_range=ColorRange.JPEG if info.full_range else ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
    )
