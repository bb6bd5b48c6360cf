"""The same colours out as in: tags of a stream on an encoder, and RGB back to YUV in the source's
own matrix.
"""

from typing import TypeVar

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from src.media.describe import PYAV_NAMES
from src.media.frames import VideoInfo
from src.media.matrices import CODES, YCGCO, guessed_matrix, swscale_matrix, ycgco_of_rgb
from src.media.pixels import FORMATS

Carrier = TypeVar("Carrier", av.VideoCodecContext, av.VideoFrame)
QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


def tag(context: av.VideoCodecContext, info: VideoInfo) -> None:
    """Put the source's colour tags on an encoder whose size is set; what the source does not say
    stays unsaid.

    But for the matrix where a player would guess another one for the larger picture than for the
    source.
    """
    context.color_range = ColorRange.JPEG if info.full_range else ColorRange.MPEG
    _tagged(context, info)
    if not info.matrix and (matrix := _matrix(info)) != guessed_matrix(
        context.width, context.height
    ):
        context.colorspace = CODES["smpte170m" if matrix == Colorspace.ITU601 else "bt709"]


def to_yuv(
    array: np.ndarray, info: VideoInfo, layout: str, alpha: np.ndarray | None = None
) -> av.VideoFrame:
    """(H, W, 3) RGB, uint8 or uint16, as a frame of pixel format `layout` in the source's matrix
    and range.

    alpha: (H, W) of the same dtype, for a layout that holds it.
    """
    deep = array.dtype == np.uint16
    if info.matrix == YCGCO:
        planes = ycgco_of_rgb(array, info.full_range)
        planes = np.ascontiguousarray(planes if deep else np.moveaxis(planes, -1, 0))
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p16le" if deep else "yuv444p")
        return _tagged(frame.reformat(format=layout, interpolation=QUALITY), info)
    if alpha is not None:
        array = np.dstack([array, alpha])
    kind = FORMATS[alpha is not None, deep]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=kind).reformat(
        format=layout,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=_matrix(info),
        dst_color_range=ColorRange.JPEG if info.full_range else ColorRange.MPEG,
        interpolation=QUALITY,
    )
    return _tagged(frame, info)


def _tagged(carrier: Carrier, info: VideoInfo) -> Carrier:
    """An encoder or a frame with the colours that the source says: some encoders (ProRes) take them
    from each frame and not from their own settings.
    """
    if info.primaries:
        carrier.color_primaries = ColorPrimaries[info.primaries.upper()]
    if info.transfer:
        carrier.color_trc = _trc(info.transfer)
    if info.matrix:
        carrier.colorspace = CODES[info.matrix]
    return carrier


def _trc(transfer: str) -> ColorTrc:
    return ColorTrc[PYAV_NAMES.get(transfer, transfer.upper())]


def _matrix(info: VideoInfo) -> Colorspace:
    """The tagged matrix, else the one guessed from the source's size."""
    return swscale_matrix(info.matrix, info.width, info.height)
