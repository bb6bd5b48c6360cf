"""Photographs as people have them: any common format, orientation, mode and depth, within safe
limits.
"""

import hashlib
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from loguru import logger
from PIL import Image, ImageOps, UnidentifiedImageError, features

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import absent, is_file, is_folder
from src.media.jpeg import ended, is_jpeg, scans
from src.media.orientation import upright
from src.media.press_metadata import NOTHING, PressMetadata, of_image
from src.media.profiles import to_srgb

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "BMP",
    "GIF",
    *(("AVIF",) if features.check("avif") else ()),
)
MAX_BYTES = 100 * 2**20
MAX_PIXELS = 100_000_000
MIN_SIDE = 16
MAX_SCANS, MAX_SCANNED = 100, 2_000_000_000
"""Scans of a progressive JPEG, and scans times pixels: each scan goes over the whole picture,
however few its bytes.
"""
MOST_SECONDS = 60.0
"""For decoding one photograph."""
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PAD_COLOUR = (0, 0, 0)
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    AttributeError, struct.error
)  # fmt: skip
"""What Pillow's readers raise on bytes that were changed at random."""


@dataclass(frozen=True)
class Photograph:
    """pixels: (H, W, 3) uint8 sRGB, upright. sha256: of the file as given. data, suffix: that file.

    warnings: what of the file could not be read as it says. press: what it says of itself.
    """

    pixels: np.ndarray
    sha256: str
    data: bytes
    suffix: str
    warnings: tuple[str, ...] = ()
    press: PressMetadata = NOTHING


class CheckedPhotograph(NamedTuple):
    """A file that can be decoded. sha256: of the file. press: what it says of itself."""

    sha256: str
    suffix: str
    press: PressMetadata


class _Timed(BytesIO):
    """A file that a decoder can read only so long."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.until = time.monotonic() + MOST_SECONDS

    def read(self, size: int | None = -1) -> bytes:
        if time.monotonic() > self.until:
            raise TimeoutError(f"decoding takes longer than {MOST_SECONDS:.0f} s")
        return super().read(size)


def read_photograph(path: Path) -> Photograph:
    """Read, check and turn upright. Raises MissingFileError,
    or BadInputError with what is wrong.
    """
    return parse_photograph(read_bytes(Path(path)), str(path))


def parse_photograph(data: bytes, name: str) -> Photograph:
    """Like `read_photograph`, from the bytes of a file called `name`."""
    _check_container(data, name)
    with _picture_errors(name):
        image, lacking = _loaded(data, name)
        pixels, unread = _to_rgb(upright(image), image.info.get("icc_profile"))
    told = tuple(
        f"the photograph: {text}"
        for text in (lacking, unread and f"{unread}; taken as sRGB")
        if text
    )
    for warning in told:  # a manifest holds them too, which names no path
        logger.warning("{}: {}", name, warning)
    digest, press = hashlib.sha256(data).hexdigest(), of_image(image)
    return Photograph(pixels, digest, data, _suffix(image), told, press)


def check_photograph(data: bytes, name: str) -> CheckedPhotograph:
    """Check bytes as `parse_photograph` does, at less cost.

    A JPEG is decoded whole but at an eighth of its size, so that truncated data is found. Raises
    BadInputError.
    """
    _check_container(data, name)
    with _picture_errors(name):
        image, _ = _loaded(data, name, quick=True)
        return CheckedPhotograph(hashlib.sha256(data).hexdigest(), _suffix(image), of_image(image))


def _loaded(data: bytes, name: str, quick: bool = False) -> tuple[Image.Image, str | None]:
    """The decoded picture, and what is missing of its file. quick:
    a JPEG at an eighth of its size.
    """
    image = _opened(data, name, quick)
    try:
        image.load()
        return image, None
    except OSError as error:
        if isinstance(error, TimeoutError) or not is_jpeg(data):
            raise
        whole = _mended(data, name, quick)
        if whole is None:
            raise
    return whole, "its end marker is missing; the picture itself is whole"


def _opened(data: bytes, name: str, quick: bool) -> Image.Image:
    image = Image.open(_Timed(data), formats=FORMATS)
    _check_size(image, name)
    _check_scans(image, data, name)
    if quick:
        image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
    return image


def _mended(data: bytes, name: str, quick: bool) -> Image.Image | None:
    """The picture of a JPEG that lacks only its end marker; None where it lacks more."""
    files = ended(data)
    if files is None:
        return None
    first, second = (_opened(file, name, quick) for file in files)
    first.load()
    second.load()
    return first if first.tobytes() == second.tobytes() else None


def _check_scans(image: Image.Image, data: bytes, name: str) -> None:
    count = scans(data) if is_jpeg(data) else 1
    most = min(MAX_SCANS, MAX_SCANNED // (image.width * image.height))
    if count > most:
        raise BadInputError(
            f"{name} is a progressive JPEG of {count} scans; at most {most} are decoded at its "
            "size, save it again"
        )


def _suffix(image: Image.Image) -> str:
    return f".{(image.format or 'png').lower()}"


@contextmanager
def _picture_errors(name: str) -> Iterator[None]:
    """What Pillow raises, as sentences about the file called `name`."""
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is lower than ours
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # of broken EXIF, of which one tag is read
            yield
    except TimeoutError as error:
        raise BadInputError(f"{name}: {error}; save it again as a plain JPEG or PNG") from None
    except UnidentifiedImageError:
        raise BadInputError(
            f"{name} is not a picture Newsreel reads ({', '.join(FORMATS)})"
        ) from None
    except Image.DecompressionBombError:
        raise BadInputError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels") from None
    except DAMAGED as error:
        raise BadInputError(f"{name} is damaged and cannot be decoded: {error}") from None


def read_bytes(path: Path) -> bytes:
    """The bytes of a photograph. Raises MissingFileError, or BadInputError where the file is none
    or too large.
    """
    if is_folder(path):
        raise BadInputError(f"input image {path} is a folder; give one picture file")
    if not is_file(path):
        raise MissingFileError(f"input image {path} {absent(path)}")
    if path.stat().st_size > MAX_BYTES:
        raise BadInputError(
            f"{path} has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read"
        )
    if path.stat().st_size == 0:
        raise BadInputError(f"{path} is empty")
    try:
        return path.read_bytes()
    except PermissionError:
        raise BadInputError(f"{path} cannot be read: permission denied") from None


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadInputError(
            f"{name} is {width}x{height}; at most {MAX_PIXELS // 10**6} megapixels are read"
        )
    if min(width, height) < MIN_SIDE:
        raise BadInputError(
            f"{name} is {width}x{height}; the shorter side must have at least {MIN_SIDE} pixels"
        )


def _check_container(data: bytes, name: str) -> None:
    """HEIC has no decoder here; what opens it elsewhere is said."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    avif = brand in (b"avif", b"avis") or (brand in (b"mif1", b"msf1") and b"avif" in data[12:64])
    if (brand in HEIC and not avif) or (avif and "AVIF" not in FORMATS):
        kind = "AVIF" if avif else "HEIC"
        raise BadInputError(
            f"{name} is {kind}, which is not decoded here; convert it to JPEG first, with: "
            "heif-convert IN OUT.jpg "
            "(Debian: libheif-examples), sips -s format jpeg IN --out OUT.jpg (macOS), or magick "
            "IN OUT.jpg"
        )


def _to_rgb(image: Image.Image, profile: bytes | None) -> tuple[np.ndarray, str | None]:
    """(H, W, 3) uint8 sRGB, and why its colour profile was not applied.

    16-bit grey is scaled by its full range, transparency lies on white.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bit(np.asarray(image), image.mode))
    alpha = None
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        image = image.convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    reason = None
    if profile:
        image, reason = to_srgb(image, profile)
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(image), reason


def _eight_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """ "I;16" is 16 bit however dark; "I" and "F" do not state their range: 16 bit, 8 bit or, for
    "F", 0 to 1.
    """
    values = np.nan_to_num(values) if mode == "F" else values
    scale = 65535.0 if mode.startswith("I;16") or values.max() > 255 else 255.0
    if mode == "F" and values.max() <= 1:
        scale = 1.0
    return np.clip(np.round(values.astype(np.float64) * (255.0 / scale)), 0, 255).astype(np.uint8)


def fit_photograph(pixels: np.ndarray, width: int, height: int, fit: str) -> np.ndarray:
    """Bring (H, W, 3) uint8 to (height, width, 3).

    fit "cover" scales until both sides are filled and crops the centre; "pad" scales until both fit
    and adds black borders.
    """
    image = Image.fromarray(pixels)
    if fit == "cover":
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    else:
        fitted = ImageOps.pad(image, (width, height), Image.Resampling.LANCZOS, color=PAD_COLOUR)
    return np.asarray(fitted)
