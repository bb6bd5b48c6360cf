"""How a photograph must be turned: the orientation tag alone is read, whatever else of the EXIF is
broken.
"""

import re
import struct

from PIL import Image

TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def upright(image: Image.Image) -> Image.Image:
    """Turn a loaded picture as its tag says; Pillow turns TIFF by itself."""
    turn = None if image.format == "TIFF" else TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """1 to 8, of EXIF, else of XMP; 1 where neither says."""
    data = image.info.get("exif") or _raw_profile(image.info.get("Raw profile type exif"))
    found = exif_orientation(data) if isinstance(data, bytes) else None
    if found is not None:
        return found
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    match = XMP.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return int(match[1]) if match else 1


def exif_orientation(data: bytes) -> int | None:
    """The tag's value in EXIF bytes (with or without their name in front); None where it is not to
    be found.
    """
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    count = struct.unpack_from(f"{order}H", data, at)[0] if at + 2 <= len(data) else 0
    for entry in range(at + 2, min(at + 2 + 12 * count, len(data) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag == TAG:
            value = struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", data, entry + 8)[0]
            return value if 1 <= value <= 8 else None
    return None


def _raw_profile(text: object) -> bytes | None:
    """EXIF as ImageMagick writes it into a PNG's text: a few lines, then hexadecimal."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
