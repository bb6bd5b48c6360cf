"""Photographs as people have them: any common format, orientation, mode and depth, within safe limits."""

import hashlib
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import is_file, is_folder

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MAX_BYTES = 100 * 2**20
MAX_PIXELS = 100_000_000
MIN_SIDE = 16
PAD_COLOUR = (0, 0, 0)
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error
)  # fmt: skip
"""What Pillow's readers raise on bytes that were changed at random."""


@dataclass(frozen=True)
class Photograph:
    """pixels: (H, W, 3) uint8 RGB, upright. sha256: of the file as given. data, suffix: that file."""

    pixels: np.ndarray
    sha256: str
    data: bytes
    suffix: str


def read_photograph(path: Path) -> Photograph:
    """Read, check and turn upright. Raises MissingFileError, or BadInputError with what is wrong."""
    return parse_photograph(_read_bytes(Path(path)), str(path))


def parse_photograph(data: bytes, name: str) -> Photograph:
    """Like `read_photograph`, from the bytes of a file called `name`."""
    with _picture_errors(name):
        image = Image.open(BytesIO(data), formats=FORMATS)
        _check_size(image, name)
        suffix, pixels = _suffix(image), _to_rgb(ImageOps.exif_transpose(image))
    return Photograph(pixels, hashlib.sha256(data).hexdigest(), data, suffix)


def check_photograph(data: bytes, name: str) -> tuple[str, str]:
    """Check bytes as `parse_photograph` does, at less cost: returns SHA-256 and suffix.

    A JPEG is decoded whole but at an eighth of its size, so that truncated data is found. Raises BadInputError.
    """
    with _picture_errors(name):
        image = Image.open(BytesIO(data), formats=FORMATS)
        _check_size(image, name)
        image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
        return hashlib.sha256(data).hexdigest(), _suffix(image)


def _suffix(image: Image.Image) -> str:
    return f".{(image.format or 'png').lower()}"


@contextmanager
def _picture_errors(name: str) -> Iterator[None]:
    """What Pillow raises, as sentences about the file called `name`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's own limit is lower than ours
            yield
    except UnidentifiedImageError:
        raise BadInputError(f"{name} is not a picture Newsreel reads ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise BadInputError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels") from None
    except DAMAGED as error:
        raise BadInputError(f"{name} is damaged and cannot be decoded: {error}") from None


def _read_bytes(path: Path) -> bytes:
    if is_folder(path):
        raise BadInputError(f"input image {path} is a folder; give one picture file")
    if not is_file(path):
        raise MissingFileError(f"input image {path} does not exist")
    if path.stat().st_size > MAX_BYTES:
        raise BadInputError(f"{path} has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path} is empty")
    try:
        return path.read_bytes()
    except PermissionError:
        raise BadInputError(f"{path} cannot be read: permission denied") from None


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadInputError(f"{name} is {width}x{height}; at most {MAX_PIXELS // 10**6} megapixels are read")
    if min(width, height) < MIN_SIDE:
        raise BadInputError(f"{name} is {width}x{height}; the shorter side must have at least {MIN_SIDE} pixels")


def _to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; 16-bit grey is scaled by its full range, transparency lies on white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bit(np.asarray(image), image.mode))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _eight_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """ "I;16" is 16 bit however dark; "I" and "F" do not state their range: 16 bit, 8 bit or, for "F", 0 to 1."""
    values = np.nan_to_num(values) if mode == "F" else values
    scale = 65535.0 if mode.startswith("I;16") or values.max() > 255 else 255.0
    if mode == "F" and values.max() <= 1:
        scale = 1.0
    return np.clip(np.round(values.astype(np.float64) * (255.0 / scale)), 0, 255).astype(np.uint8)


def fit_photograph(pixels: np.ndarray, width: int, height: int, fit: str) -> np.ndarray:
    """Bring (H, W, 3) uint8 to (height, width, 3).

    fit "cover" scales until both sides are filled and crops the centre; "pad" scales until both fit and
    adds black borders.
    """
    image = Image.fromarray(pixels)
    if fit == "cover":
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    else:
        fitted = ImageOps.pad(image, (width, height), Image.Resampling.LANCZOS, color=PAD_COLOUR)
    return np.asarray(fitted)
