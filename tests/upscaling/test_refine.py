"""SDXL's refinement on a tiny seeded checkpoint of the true classes."""

import shutil

import numpy as np
import pytest

from src.core.errors import BadInputError, CancelledError
from src.core.progress import CancelToken
from src.core.refinement import Refinement, parse
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.job import UpscaleJob
from src.upscaling.registry import load_backend
from src.upscaling.smoothing import TemporalSmoother
from src.upscaling.stream import upscale_video
from tests.diffusion_kit import build_sdxl, use_folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_sdxl(tmp_path_factory.mktemp("built") / "sdxl")


@pytest.fixture
def choice(built, tmp_path, monkeypatch):
    folder = shutil.copytree(built, tmp_path / "sdxl")
    use_folder(monkeypatch, tmp_path / "configs", "sdxl", folder)
    return UpscalerChoice("balanced", 2, upscaler="sdxl", seed=3)


def run(backend, frames, token=None):
    made = enlarged(
        backend, Stretch(frames), EnhanceSettings(), UpscaleRun(token or CancelToken(), seed=3)
    )
    return np.stack(list(made))


def test_equal_frames_stay_equal(choice):
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3)).astype(np.uint8)
    made = run(load_backend(choice), frame.repeat(3, 0))
    assert np.abs(made - made[0]).max() == 0.0 and np.isfinite(made).all()


@pytest.mark.parametrize("size", [(2, 2), (300, 17)])
def test_any_size_comes_back_exactly(choice, size):
    made = run(load_backend(choice), np.full((1, *size, 3), 90, np.uint8))
    assert made.shape == (1, 2 * size[0], 2 * size[1], 3)


def test_equal_frames_stay_equal_where_detail_is_carried_along_the_motion(choice):
    """As the stream does it: carried, and finished with the source's low frequencies."""
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3)).astype(np.uint8)
    backend, source = load_backend(choice), frame[0].astype(np.float32) / 255
    carry = TemporalSmoother(choice.carried(EnhanceSettings()), backend.scale)
    raw = run(backend, frame.repeat(4, 0))
    made = np.stack(
        [backend.finish(carry(each, source), source, EnhanceSettings()) for each in raw]
    )
    assert choice.carried(EnhanceSettings()) == 0.8 and carry.state()
    assert np.abs(made - made[0]).max() == 0.0


def test_carried_detail_follows_what_moves(choice):
    """Where a textured picture slides by whole pixels, refined detail differs less along it."""
    picture = np.random.default_rng(1).integers(0, 256, (20, 40, 3)).repeat(4, 0).repeat(4, 1)
    frames = np.stack([picture[:64, 2 * t : 2 * t + 96] for t in range(5)]).astype(np.uint8)
    backend = load_backend(choice)
    carry = TemporalSmoother(choice.carried(EnhanceSettings()), backend.scale)
    raw = run(backend, frames)
    made = np.stack(
        [carry(each, f.astype(np.float32) / 255) for each, f in zip(raw, frames, strict=True)]
    )
    change = [np.abs(x[1:, 8:-8, 8:-12] - x[:-1, 8:-8, 12:-8]).mean() for x in (made, raw)]
    assert change[0] < 0.8 * change[1]


def test_it_is_cancelled_before_the_next_forward(choice):
    """Whichever is under way: a block of the VAE, or the UNet."""
    backend, forwards, limit = load_backend(choice), [], [0]
    parts = backend.refiner.parts
    blocks = (*parts.vae.encoder.down_blocks, parts.vae.encoder.mid_block, parts.unet,
              parts.vae.decoder.mid_block, *parts.vae.decoder.up_blocks)  # fmt: skip
    token = CancelToken()

    def count(*_):
        forwards.append(1)
        if len(forwards) == limit[0]:
            token.cancel()

    for block in blocks:
        block.register_forward_hook(count)
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    run(backend, frames)
    every = len(forwards)
    assert every == len(blocks) - 1 + choice.refinement.steps
    for limit[0] in range(1, every):
        token, forwards[:] = CancelToken(), []
        with pytest.raises(CancelledError):
            run(backend, frames, token)
        assert len(forwards) == limit[0]
    token, limit[0], forwards[:] = CancelToken(), 0, []
    run(backend, frames, token)
    assert len(forwards) == every and not any(b._forward_pre_hooks for b in blocks)


def test_a_resumed_run_equals_an_unbroken_one(choice, ffmpeg, tmp_path):
    clip = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x24:rate=10:duration=1.2", "-c:v", "ffv1", clip)
    usual = {"threads": 1, "segment": 3, "encoder_preset": "ultrafast"}
    whole = upscale_video(UpscaleJob(clip, tmp_path / "whole.mp4", choice, **usual))
    job, token = UpscaleJob(clip, tmp_path / "out.mp4", choice, **usual), CancelToken()
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 7 else None, token)
    again = upscale_video(job)
    assert again.resumed >= 6 and again.refined == "sdxl:0.2"
    assert job.target.read_bytes() == whole.target.read_bytes()


def test_after_another_upscaler_it_decides_the_bytes(choice, weights, clip, tmp_path):
    plain = UpscalerChoice("fast", 2, folder=weights)
    refined = UpscalerChoice("fast", 2, folder=weights, refine="sdxl:0.1", seed=3)
    keys = [UpscaleJob(clip, tmp_path / "o.mp4", each).decides({}) for each in (plain, refined)]
    assert keys[0] != keys[1] and len(refined.hashes()) > len(plain.hashes())
    refined.check(EnhanceSettings())
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)
    assert run(load_backend(refined), frames).shape == (2, 48, 64, 3)


def test_strengths_are_checked():
    assert [parse(t).steps for t in ("sdxl:0.1", "sdxl", "sdxl:0.25")] == [3, 6, 7]
    assert str(Refinement()) == "sdxl:0.2"
    with pytest.raises(BadInputError, match="0.1 to 0.25: 0 steps are too few, got 'sdxl:0.03'"):
        _ = UpscalerChoice(refine="sdxl:0.03").refinement


@pytest.mark.parametrize("told", ["[]", '{"beta_schedule": "foo"}'])
def test_a_schedule_that_is_none_is_one_sentence(choice, tmp_path, told):
    (tmp_path / "sdxl" / "scheduler" / "scheduler_config.json").write_text(told)
    with pytest.raises(BadInputError, match=r"scheduler_config\.json is no scheduler's"):
        load_backend(choice)
