"""What every upscaler backend keeps, and that one more is a spec and a line: no other file knows of it."""

import numpy as np
import pytest

from src.catalog import upscalers
from src.cli.upscale_video import upscale_video_app
from src.core.errors import MissingWeightsError
from src.core.upscale_request import EnhanceSettings
from src.media.reader import VideoReader
from src.upscaling.backends import UpscalerChoice
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.registry import BACKENDS
from tests.command_kit import run_here
from tests.contracts.fake_upscaler import NearestBackend, make_nearest, write_spec

ASKED = EnhanceSettings()


@pytest.fixture(params=["network", "nearest"])
def backend(request, weights):
    if request.param == "nearest":
        return NearestBackend(UpscalerChoice(scale=2, upscaler="nearest"))
    return NetworkBackend(UpscalerChoice("fast", 2, "cpu", folder=weights))


@pytest.fixture
def frames():
    """(7, 24, 40, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (7, 24, 40, 3)).astype(np.uint8)


def enlarged(backend, frames, before=0, after=0):
    return np.concatenate(list(backend.enlarge(frames, before, after, ASKED)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_frame_comes_out_once_at_its_size(backend, frames, dtype):
    given = frames.astype(dtype) * (257 if dtype == np.uint16 else 1)
    made = enlarged(backend, given)
    assert made.shape == (7, 24 * backend.scale, 40 * backend.scale, 3) and made.dtype == np.float32
    assert np.abs(made).max() < 4


@pytest.mark.parametrize("size", [(2, 2), (1, 5), (17, 33)])
def test_any_size_goes(backend, size):
    frames = np.full((2, *size, 3), 128, np.uint8)
    assert enlarged(backend, frames).shape[1:3] == (backend.scale * size[0], backend.scale * size[1])


def test_context_makes_pieces_equal_the_whole(backend, frames):
    whole, context = enlarged(backend, frames), backend.context
    piece = enlarged(backend, frames[3 - context : 5 + context], context, context)
    assert np.abs(piece - whole[3:5]).max() < 1e-4


def test_what_was_measured_can_be_kept_to(backend, frames):
    whole, measured = enlarged(backend, frames), backend.measured()
    backend.keep_to(measured)
    assert np.array_equal(enlarged(backend, frames), whole)


def test_it_finishes_its_own_frames(backend, frames):
    source = frames[0].astype(np.float32) / 255
    made = backend.finish(enlarged(backend, frames)[0], source, ASKED)
    assert made.shape == (24 * backend.scale, 40 * backend.scale, 3)


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The fake as the docs add it: a spec, its name, and a line in the registry."""
    write_spec(tmp_path / "configs")
    monkeypatch.setattr(upscalers, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(upscalers, "UPSCALERS", ("nearest",))
    monkeypatch.setitem(BACKENDS, "nearest", make_nearest)


def test_one_more_is_reached_by_the_command(registered, tmp_path, ffmpeg):
    clip, out = tmp_path / "clip.mkv", tmp_path / "out.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x24:rate=5:duration=1", "-c:v", "ffv1", clip)
    done = run_here(upscale_video_app(), "--input", clip, "--output", out, "--upscaler", "nearest", "--crf", 0)
    assert done.returncode == 0, done.stderr
    with VideoReader(out) as made, VideoReader(clip) as given:
        large, small = next(iter(made)).array.astype(int), next(iter(given)).array
        assert np.abs(large - small.repeat(2, 0).repeat(2, 1)).mean() < 8  # 4:2:0


@pytest.mark.parametrize(("flags", "sentence"), [
    (("--sharpen", 1), "--sharpen does not apply to upscaler nearest"),
    (("--guidance-scale", 7), "--guidance-scale does not apply to upscaler nearest"),
    (("--scale", 8), "--scale is 8; for preset balanced of nearest it must be 2 or 4"),
    (("--preset", "fast"), "--preset is 'fast'; it must be one of: balanced"),
    (("--upscaler", "star"), "unknown upscaler 'star'; known: nearest"),
])  # fmt: skip
def test_what_it_cannot_do_is_refused_by_name(registered, tmp_path, flags, sentence):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    usual = ("--input", tmp_path / "clip.mp4", "--output", tmp_path / "out.mp4", "--upscaler", "nearest")
    done = run_here(upscale_video_app(), *usual, *flags)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_weights_that_are_not_here_are_told_with_the_way_to_get_them(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"fast at 4x.*train_upscaler --preset fast --scale 4"):
        UpscalerChoice("fast", 4, folder=tmp_path).check(ASKED)
