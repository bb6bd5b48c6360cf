"""Which matrix makes luma and chroma of RGB: names, codes (ISO/IEC 23091-2), and YCgCo, which
swscale does not know.
"""

import av
import numpy as np
from av.video.reformatter import Colorspace

NAMES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco",
         9: "bt2020nc", 10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc",
         13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2",
         16: "ycgco-re", 17: "ycgco-ro"}  # fmt: skip
CODES = {name: code for code, name in NAMES.items()}
_SWSCALE = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
    "bt2020c": Colorspace.BT2020,
    "chroma-derived-nc": Colorspace.BT2020,
    "chroma-derived-c": Colorspace.BT2020,
    "ictcp": Colorspace.BT2020,
    "ipt-c2": Colorspace.BT2020,
}
YCGCO = "ycgco"
INEXACT = set(NAMES.values()) - {
    "bt709",
    "fcc",
    "bt470bg",
    "smpte170m",
    "smpte240m",
    YCGCO,
    "bt2020nc",
}
"""Matrices that are computed with another's: there and back, so that colours stay, but for those
that are cut off."""


def matrix_name(frame: av.VideoFrame) -> str | None:
    """The matrix that a frame's tag names; None where it names none, and for RGB."""
    return NAMES.get(int(frame.colorspace))


def swscale_matrix(name: str | None, width: int, height: int) -> Colorspace:
    """The matrix to compute with: the named one, else the one guessed from the size."""
    return _SWSCALE.get(name or "", guessed_matrix(width, height))


def guessed_matrix(width: int, height: int) -> Colorspace:
    """What players take where a file says nothing: bt601 below 720 lines, else bt709."""
    return Colorspace.ITU601 if min(width, height) < 720 else Colorspace.ITU709


def rgb_of_ycgco(planes: np.ndarray, full_range: bool) -> np.ndarray:
    """(H, W, 3) Y, Cg, Co of uint8 or uint16 -> (H, W, 3) RGB of the same kind (ITU-T H.273,
    equations 50 to 53).
    """
    most = np.iinfo(planes.dtype).max
    low, luma, chroma = _ranges(most, full_range)
    y = (planes[..., 0].astype(np.float32) - low) / luma
    cg, co = ((planes[..., i].astype(np.float32) - (most + 1) / 2) / chroma for i in (1, 2))
    rgb = np.stack([y - cg + co, y + cg, y - cg - co], axis=-1)
    return np.rint(np.clip(rgb, 0, 1) * most).astype(planes.dtype)


def ycgco_of_rgb(array: np.ndarray, full_range: bool) -> np.ndarray:
    """(H, W, 3) RGB of uint8 or uint16 -> (H, W, 3) Y, Cg, Co of the same kind."""
    most = np.iinfo(array.dtype).max
    low, luma, chroma = _ranges(most, full_range)
    red, green, blue = np.moveaxis(array.astype(np.float32) / most, -1, 0)
    outer = (red + blue) / 4
    y, cg, co = green / 2 + outer, green / 2 - outer, (red - blue) / 2
    half = (most + 1) / 2
    planes = np.stack([low + luma * y, half + chroma * cg, half + chroma * co], axis=-1)
    return np.clip(np.rint(planes), 0, most).astype(array.dtype)


def _ranges(most: int, full_range: bool) -> tuple[float, float, float]:
    """(black, span of luma, span of chroma) in the integers up to `most`."""
    step = (most + 1) / 256
    return (0.0, float(most), float(most)) if full_range else (16 * step, 219 * step, 224 * step)
