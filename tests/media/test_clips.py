"""A clip is what is shown: square pixels, upright, by its time stamps, in BT.709."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from src.core.errors import BadInputError
from src.datasets.clip_info import look
from src.media.clips import Sampling, frames_at, read_clip, shown_size, upright_frame
from src.media.frames import VideoInfo
from src.media.tone import to_bt709


def write(path, frames, times=None, aspect=None, transfer=None, primaries=None):
    """Frames (H, W, 3) uint8 at these seconds (8 a second else), with these tags."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30 if times else 8, options={"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, context = "yuv420p", stream.codec_context
        context.time_base = Fraction(1, 1000 if times else 8)
        if aspect:
            context.sample_aspect_ratio = aspect
        if transfer:
            context.color_trc, context.color_primaries, context.colorspace = (
                transfer,
                primaries,
                Colorspace.BT2020,
            )
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p")
            frame.pts = round(times[number] * 1000) if times else number
            frame.time_base = context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(count, width=64, height=48):
    return [np.full((height, width, 3), 20 + 4 * number, np.uint8) for number in range(count)]


def test_wide_pixels_are_stretched(tmp_path):
    frames = numbered(9)
    for frame in frames:
        frame[:, :32] = 255
    path = write(tmp_path / "a.mp4", frames, aspect=Fraction(2))
    facts = look(path, "0")
    assert (facts.width, facts.height) == (128, 48)
    clip = read_clip(path, Sampling(9, 8.0, 128, 48))
    assert (clip[0, :, :60] > 240).all() and (clip[0, :, 68:] < 40).all()


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(2), (64, 20)), (Fraction(1, 2), (32, 40)), (Fraction(1), (32, 20)),
     (Fraction(100), (32, 20)), (Fraction(0), (32, 20))],
)  # fmt: skip
def test_the_shown_size(aspect, size):
    info = VideoInfo(32, 20, Fraction(8), Fraction(1, 8), sample_aspect_ratio=aspect, rotation=90)
    assert shown_size(info) == size
    assert upright_frame(np.zeros((20, 32, 3), np.uint8), info).shape == (size[0], size[1], 3)


@pytest.mark.parametrize("burst", [True, False])
def test_a_variable_rate_goes_by_its_times(tmp_path, burst):
    """A burst at 30 a second, then 4 a second (or the other way round): 5.5 s in all."""
    steps = [1 / 30] * 30 + [0.25] * 18 if burst else [0.25] * 18 + [1 / 30] * 30
    times = [sum(steps[:number]) for number in range(len(steps) + 1)]
    path = write(tmp_path / "a.mkv", numbered(len(times)), times)
    facts = look(path, "0")
    assert facts.frames / facts.rate == pytest.approx(5.5, abs=0.3)
    wanted = frames_at(facts.frames, facts.rate, 8.0)
    assert wanted >= 41
    clip = read_clip(path, Sampling(wanted, 8.0, 64, 48))
    shown = [max(n for n, time in enumerate(times) if time <= k / 8 + 0.02) for k in range(41)]
    assert np.abs(clip[:41, 24, 32, 0].astype(int) - [20 + 4 * n for n in shown]).max() <= 4


def test_a_constant_rate_is_the_stated_one(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(17))
    facts = look(path, "0")
    assert facts.rate == 8.0
    assert frames_at(facts.frames, facts.rate, 8.0) == 17
    assert len(read_clip(path, Sampling(17, 8.0, 64, 48))) == 17


@pytest.mark.parametrize(
    ("transfer", "kind"), [(ColorTrc.ARIB_STD_B67, "HLG"), (ColorTrc.SMPTE2084, "PQ")]
)
def test_hdr_is_refused_for_training_with_the_reason(tmp_path, transfer, kind):
    path = write(
        tmp_path / "a.mp4", numbered(9), transfer=transfer, primaries=ColorPrimaries.BT2020
    )
    for read in (lambda: look(path, "0"), lambda: read_clip(path, Sampling(9, 8.0, 64, 48))):
        with pytest.raises(BadInputError, match=rf"HDR \({kind}\).*zscale"):
            read()


def info(transfer, primaries):
    return VideoInfo(2, 2, Fraction(8), Fraction(1, 8), transfer=transfer, primaries=primaries)


@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_wide_colours_become_bt709_and_grey_stays_grey(primaries):
    grey = np.full((2, 2, 3), 120, np.uint8)
    assert np.abs(to_bt709(grey, info("bt709", primaries)).astype(int) - 120).max() <= 1
    green = np.array([[[30, 200, 30]]], np.uint8)
    made = to_bt709(green, info("bt709", primaries))[0, 0]
    assert made[0] < 30 and made[1] > 200  # the same light is purer in the smaller gamut


@pytest.mark.parametrize(
    ("transfer", "white", "tolerance"), [("arib-std-b67", 0.75, 12), ("smpte2084", 0.581, 12)]
)
def test_diffuse_white_of_hdr_is_nearly_white_and_brighter_is_never_darker(
    transfer, white, tolerance
):
    codes = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    shown = to_bt709(codes, info(transfer, "bt2020")).astype(int)[0]
    assert 255 - shown[round(255 * white)].min() <= tolerance
    assert (np.diff(shown[:, 1]) >= 0).all()
    assert shown[0].max() == 0 and shown[-1].min() >= 254
    deep = to_bt709(codes.astype(np.uint16) * 257, info(transfer, "bt2020")).astype(int)[0]
    assert np.abs(deep - shown).max() <= 1
