import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from src.core.errors import BadInputError, MissingFileError
from src.media.images import check_photograph, fit_photograph, parse_photograph, read_photograph


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing: a decompression bomb's first bytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + struct.pack(">I", len(data) - 4)
        + data
        + struct.pack(">I", zlib.crc32(data))
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_common_formats_keep_the_picture(pixels, form):
    read = parse_photograph(encoded(Image.fromarray(pixels), form), "x").pixels
    assert read.shape == pixels.shape
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - pixels).mean() < (
        30 if form in ("GIF", "JPEG", "WEBP") else 0.1
    )


def test_exif_orientation_is_applied(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned 90 degrees clockwise to be upright
    read = parse_photograph(encoded(Image.fromarray(pixels), "PNG", exif=exif), "x").pixels
    assert np.array_equal(read, np.rot90(pixels, k=-1))


def test_transparency_lies_on_white():
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert (parse_photograph(encoded(image, "PNG"), "x").pixels == 255).all()


def test_grey_sixteen_bit_and_cmyk_become_rgb():
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    read = parse_photograph(encoded(Image.fromarray(ramp), "PNG"), "x").pixels
    assert read[0, 0].tolist() == [0, 0, 0]
    assert read[0, -1].tolist() == [255, 255, 255]
    assert abs(int(read[0, 32, 0]) - 129) <= 2
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert parse_photograph(encoded(cmyk, "JPEG"), "x").pixels[0, 0, 0] > 200
    grey = Image.new("L", (32, 32), 77)
    assert parse_photograph(encoded(grey, "PNG"), "x").pixels[0, 0].tolist() == [77, 77, 77]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"just words, no picture" * 9, "not a picture"),
        (png_header(60_000, 60_000), "megapixels"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "1x1; the shorter side must have at least"),
        (encoded(Image.effect_noise((256, 256), 90), "JPEG")[:4000], "damaged"),
        (encoded(Image.effect_noise((256, 256), 90), "PNG")[:4000], "damaged"),
    ],
    ids=["text", "bomb", "one pixel", "truncated jpeg", "truncated png"],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(data, sentence):
    with pytest.raises(BadInputError, match=sentence):
        parse_photograph(data, "photo")


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(MissingFileError, match="does not exist"):
        read_photograph(tmp_path / "gone.png")
    with pytest.raises(BadInputError, match="is a folder"):
        read_photograph(tmp_path)
    with pytest.raises(BadInputError, match="is empty"):
        read_photograph(tmp_path / "empty.png")


def test_cover_crops_the_centre_and_pad_adds_borders():
    wide = np.zeros((50, 200, 3), np.uint8)
    wide[:, 75:125] = 255
    assert (fit_photograph(wide, 48, 48, "cover")[:, 2:-2] == 255).all()
    padded = fit_photograph(wide, 200, 200, "pad")
    assert padded.shape == (200, 200, 3)
    assert (padded[:60] == 0).all()
    assert (padded[100, 100] == 255).all()


def test_a_dark_16_bit_picture_stays_dark():
    dark = Image.fromarray(np.full((20, 20), 200, np.uint16))
    assert parse_photograph(encoded(dark, "PNG"), "x").pixels.max() == 1


def test_a_float_picture_from_0_to_1_uses_the_whole_range():
    grey = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (20, 1))
    read = parse_photograph(encoded(Image.fromarray(grey), "TIFF"), "x").pixels
    assert (read.min(), read.max()) == (0, 255)


def test_what_lies_between_pillows_limit_and_ours_is_read():
    assert parse_photograph(encoded(Image.new("L", (9500, 9500)), "PNG"), "x").pixels.shape == (
        9500,
        9500,
        3,
    )


@pytest.mark.parametrize(
    "error", [TypeError("x"), KeyError("x"), struct.error("x"), ZeroDivisionError("x")]
)
def test_whatever_pillow_raises_on_changed_bytes_is_a_sentence(pixels, monkeypatch, error):
    def broken(self):
        raise error

    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", broken)
    with pytest.raises(BadInputError, match="image is damaged"):
        check_photograph(encoded(Image.fromarray(pixels), "TIFF"), "image")
