"""Decoded frames as RGB arrays, in the file's own matrix and range."""

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from src.core.errors import BadInputError
from src.core.output_errors import reason_in
from src.media.matrices import YCGCO, matrix_name, rgb_of_ycgco, swscale_matrix

FORMATS = {
    (False, False): "rgb24",
    (False, True): "rgb48le",
    (True, False): "rgba",
    (True, True): "rgba64le",
}
"""Pixel formats by (with alpha, 16 bits)."""
QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def rgb_of(
    frame: av.VideoFrame, size: tuple[int, int], deep: bool, alpha: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """((H, W, 3) RGB, (H, W) alpha or None), uint8, or uint16 where `deep`; scaled where the frame
    is not of `size`.

    swscale takes bt601 for everything, so matrix and range are told to it. Raises BadInputError for
    the few pixel formats that it does not read.
    """
    try:
        return (
            (_from_ycgco(frame, size, deep), None)
            if matrix_name(frame) == YCGCO
            else _rgb(frame, size, deep, alpha)
        )
    except FFmpegError as error:
        raise BadInputError(
            f"pixels of the format {frame.format.name} cannot be read ({reason_in(error)})"
        ) from None


def _rgb(
    frame: av.VideoFrame, size: tuple[int, int], deep: bool, alpha: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    width, height = size
    array = frame.to_ndarray(
        width=width,
        height=height,
        format=FORMATS[alpha, deep],
        src_colorspace=swscale_matrix(matrix_name(frame), frame.width, frame.height),
        src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=QUALITY,
    )
    return (np.ascontiguousarray(array[..., :3]), array[..., 3].copy()) if alpha else (array, None)


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether luma takes all of its values, not 16 to 235."""
    return (
        frame.color_range == ColorRange.JPEG
        or frame.format.name.startswith("yuvj")
        or frame.format.is_rgb
    )


def has_alpha(layout: av.VideoFormat) -> bool:
    """Whether pixels may be transparent; those of a palette may."""
    return any(component.is_alpha for component in layout.components) or layout.name == "pal8"


def _from_ycgco(frame: av.VideoFrame, size: tuple[int, int], deep: bool) -> np.ndarray:
    planes = frame.to_ndarray(
        width=size[0],
        height=size[1],
        format="yuv444p16le" if deep else "yuv444p",
        # the same before and after, for swscale refuses to hear of YCgCo
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        interpolation=QUALITY,
    )
    return rgb_of_ycgco(planes if deep else np.moveaxis(planes, 0, -1), is_full_range(frame))
