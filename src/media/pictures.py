"""A frame as a PNG that says its colours: what no browser would guess (HDR, wide gamut) is tagged
(cICP, PNG 3).
"""

import struct
import zlib

import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

from src.media.describe import PYAV_NAMES
from src.media.frames import VideoInfo

USUAL = (None, "bt709", "iec61966-2-1", "smpte170m", "bt470bg")
"""Primaries and transfers that pictures without a tag are taken for, or nearly."""
_AFTER_HEADER = 33
"""Bytes of the signature and the chunk IHDR."""


def as_png(array: np.ndarray, info: VideoInfo) -> bytes:
    """(H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16, in the video's own colours."""
    order = cv2.COLOR_RGBA2BGRA if array.shape[-1] == 4 else cv2.COLOR_RGB2BGR
    coded = cv2.imencode(
        ".png", cv2.cvtColor(np.ascontiguousarray(array), order), [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )[1]
    data = coded.tobytes()
    if info.primaries in USUAL and info.transfer in USUAL:
        return data
    return data[:_AFTER_HEADER] + _cicp(info) + data[_AFTER_HEADER:]


def _cicp(info: VideoInfo) -> bytes:
    """The chunk: primaries, transfer, RGB, full range (ITU-T H.273 codes; 2 is "not said")."""
    primaries = int(ColorPrimaries[info.primaries.upper()]) if info.primaries else 2
    transfer = (
        int(ColorTrc[PYAV_NAMES.get(info.transfer, info.transfer.upper())]) if info.transfer else 2
    )
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    return struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
