"""Photographs as they come: other colour spaces, broken EXIF, a missing end, too many scans, phone
formats.
"""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from src.core.errors import BadInputError
from src.media import images
from src.media.images import check_photograph, parse_photograph
from src.media.jpeg import scans
from src.media.orientation import exif_orientation


@pytest.fixture
def picture():
    """A smooth picture, (96, 128, 3) uint8, whose JPEG is near it."""
    y, x = np.mgrid[0:96, 0:128]
    return np.stack([x * 2, y * 2.6, 255 - x - y], -1).clip(0, 255).astype(np.uint8)


def encoded(image, form="JPEG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def matrix_profile(primaries, gamma: float) -> bytes:
    """An ICC v2 display profile: three colorants (XYZ, D50) and one curve."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def xyz(values):
        return b"XYZ \0\0\0\0" + fixed(values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79
    tags = [
        (b"desc", text),
        (b"wtpt", xyz((0.9642, 1, 0.8249))),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
    ]
    tags += [
        (name, xyz(one)) for name, one in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    ]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        padded = data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(padded))
        body += padded
    head = (
        struct.pack(">I4sI", at + len(body), b"none", 0x02100000)
        + b"mntrRGB XYZ "
        + b"\0" * 12
        + b"acsp"
    )
    head = (head + b"\0" * 128)[:68] + fixed((0.9642, 1, 0.8249)) + b"\0" * 48
    return head + struct.pack(">I", len(tags)) + table + body


ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def by_hand(pixels, primaries, gamma):
    """To sRGB by the matrices themselves: curve, colorants to XYZ (D50), to linear sRGB, sRGB's
    curve.
    """
    to_srgb = np.linalg.inv(
        np.array(
            ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
        )
    )
    linear = ((pixels / 255) ** (round(gamma * 256) / 256)) @ np.array(primaries) @ to_srgb
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("primaries", "gamma"), [(ADOBE, 2.19921875), (PROPHOTO, 1.8)])
def test_an_embedded_profile_is_converted_to_srgb(picture, primaries, gamma):
    muted = (64 + picture * 0.5).astype(np.uint8)  # inside sRGB's gamut
    data = encoded(Image.fromarray(muted), "PNG", icc_profile=matrix_profile(primaries, gamma))
    read = parse_photograph(data, "x").pixels
    assert np.abs(read - by_hand(muted.astype(float), primaries, gamma)).max() <= 1.5
    assert np.abs(read.astype(int) - muted).max() > 10


def test_an_srgb_profile_changes_no_pixel(picture):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read = parse_photograph(encoded(Image.fromarray(picture), "PNG", icc_profile=srgb), "x")
    assert np.array_equal(read.pixels, picture)
    assert read.warnings == ()


def test_transparency_is_kept_apart_from_the_colours(picture):
    profile = matrix_profile(ADOBE, 2.19921875)
    plain = parse_photograph(
        encoded(Image.fromarray(picture), "PNG", icc_profile=profile), "x"
    ).pixels
    image = Image.fromarray(picture).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    read = parse_photograph(encoded(image, "PNG", icc_profile=profile), "x").pixels
    assert read[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(read[1:], plain[1:])


@pytest.mark.parametrize("profile", [b"no profile at all" * 20, matrix_profile(ADOBE, 2.2)[:200]])
def test_a_broken_profile_is_told_and_the_picture_read(picture, profile):
    read = parse_photograph(encoded(Image.fromarray(picture), "PNG", icc_profile=profile), "x")
    assert np.array_equal(read.pixels, picture)
    assert "colour profile is damaged" in read.warnings[0]


def test_a_profile_for_other_pixels_is_told(picture):
    data = encoded(
        Image.fromarray(picture).convert("L"), "PNG", icc_profile=matrix_profile(ADOBE, 2.2)
    )
    assert "is for RGB pixels" in parse_photograph(data, "x").warnings[0]


def broken_exif(order: str) -> bytes:
    """Orientation 6 between entries that point beyond the end,
    and a next directory that is none.
    """
    mark, entry = {"<": b"II*\0", ">": b"MM\0*"}[order], f"{order}HHII"
    entries = [(0x010F, 2, 2**31, 2**31), (0x011A, 5, 9999, 2**32 - 1), (0x8769, 4, 1, 2**31)]
    turn = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    packed = [struct.pack(entry, *one) for one in entries]
    body = packed[0] + turn + packed[1] + packed[2]
    return (
        b"Exif\0\0"
        + mark
        + struct.pack(f"{order}IH", 8, 4)
        + body
        + struct.pack(f"{order}I", 2**31)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_from_its_tag_alone(picture, order):
    data = encoded(Image.fromarray(picture), exif=broken_exif(order), quality=95)
    read = parse_photograph(data, "x").pixels
    assert np.abs(read.astype(int) - np.rot90(picture, k=-1)).mean() < 4


@pytest.mark.parametrize(
    "data",
    [b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"x" * 30],
)
def test_exif_without_the_tag_turns_nothing(picture, data):
    assert exif_orientation(data) is None
    whole = encoded(Image.fromarray(picture), exif=b"Exif\0\0" + data, quality=95)
    assert parse_photograph(whole, "x").pixels.shape == picture.shape


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_every_turn_of_every_format(picture, turn, form):
    exif = Image.Exif()
    exif[0x0112] = turn
    read = parse_photograph(
        encoded(Image.fromarray(picture), form, exif=exif, quality=95), "x"
    ).pixels
    wanted = {1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1],
              5: picture.transpose(1, 0, 2), 6: np.rot90(picture, -1),
              7: picture[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(picture)}[turn]  # fmt: skip
    assert np.abs(read.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_opens_with_a_warning(picture, progressive, cut):
    whole = encoded(Image.fromarray(picture), progressive=progressive)
    read = parse_photograph(whole[:-cut], "x")
    assert np.array_equal(read.pixels, parse_photograph(whole, "x").pixels)
    assert read.warnings == (
        "the photograph: its end marker is missing; the picture itself is whole",
    )
    assert check_photograph(whole[:-cut], "x")[1] == ".jpeg"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_more_is_refused(progressive):
    noise = Image.effect_noise((256, 256), 90)
    whole = encoded(noise, progressive=progressive)
    for lost in (40, 400, len(whole) // 2, len(whole) * 9 // 10):
        with pytest.raises(BadInputError, match="damaged"):
            parse_photograph(whole[:-lost], "x")


def test_a_bounded_number_of_scans_is_decoded(picture):
    whole = encoded(Image.fromarray(picture), progressive=True)
    assert 3 <= scans(whole) <= 20
    last = whole.rindex(b"\xff\xda")
    bomb = whole[:-2] + whole[last:-2] * 300 + b"\xff\xd9"
    assert scans(bomb) == scans(whole) + 300
    for read in (parse_photograph, check_photograph):
        with pytest.raises(BadInputError, match=rf"{scans(bomb)} scans; at most 100"):
            read(bomb, "x")


def test_a_large_picture_may_have_fewer_scans(picture, monkeypatch):
    monkeypatch.setattr(images, "MAX_SCANNED", 5 * 96 * 128)
    whole = encoded(Image.fromarray(picture), progressive=True)
    with pytest.raises(BadInputError, match="at most 5 are decoded at its size"):
        parse_photograph(whole, "x")
    assert parse_photograph(encoded(Image.fromarray(picture)), "x").pixels.shape == picture.shape


def test_decoding_has_a_time_limit(picture, monkeypatch):
    monkeypatch.setattr(images, "MOST_SECONDS", -1.0)
    with pytest.raises(BadInputError, match="decoding takes longer"):
        parse_photograph(encoded(Image.fromarray(picture)), "x")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_says_how_to_convert(brand):
    data = struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0mif1heic" + b"x" * 200
    for read in (parse_photograph, check_photograph):
        with pytest.raises(BadInputError, match="HEIC.*heif-convert"):
            read(data, "x")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(picture):
    read = parse_photograph(encoded(Image.fromarray(picture), "AVIF", quality=95), "x")
    assert np.abs(read.pixels.astype(int) - picture).mean() < 4
    assert read.suffix == ".avif"
