import cv2
import numpy as np
import pytest
from PIL import Image

from src.catalog.upscalers import find_upscaler
from src.core.plan import Size
from src.core.upscale_request import EnhanceSettings
from src.upscaling.clips import PresetUpscaler
from src.upscaling.detail_gate import catmull_rom, gate_of, gated
from src.upscaling.enhance import enlarge, finish_frame
from tests.command_kit import use_weights

from .conftest import use_gate

RAMP = find_upscaler("newsreel").presets["balanced"].gate


@pytest.fixture(scope="module")
def sharp():
    """(64, 96, 3) float32 with as much contrast in every octave."""
    random, total = np.random.default_rng(0), np.zeros((64, 96, 3), np.float32)
    for step in (1, 2, 4, 8, 16):
        octave = random.normal(0, 0.06, (64 // step, 96 // step, 3)).astype(np.float32)
        total += cv2.resize(octave, (96, 64), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.5 + total, 0, 1)


@pytest.fixture(scope="module")
def soft(sharp):
    return cv2.GaussianBlur(sharp, (0, 0), 1.5)


def test_detail_is_trusted_on_a_sharp_source_and_not_on_a_soft_one(sharp, soft):
    assert gate_of(sharp, RAMP).mean() > 0.95 and gate_of(soft, RAMP).mean() < 0.05


@pytest.mark.parametrize("scale", [2, 4])
def test_on_a_soft_source_the_frame_is_the_cubic(sharp, soft, scale):
    detail = (
        np.random.default_rng(1).normal(0, 0.02, (64 * scale, 96 * scale, 3)).astype(np.float32)
    )
    kept = gated(enlarge(sharp, scale) + detail, sharp, scale, RAMP) - enlarge(sharp, scale)
    left = gated(enlarge(soft, scale) + detail, soft, scale, RAMP) - catmull_rom(soft, scale)
    assert np.abs(kept).mean() > 0.9 * np.abs(detail).mean() > 10 * np.abs(left).mean()


def test_a_preset_that_is_trusted_less_gives_less_detail(sharp):
    made = enlarge(sharp, 2) + 0.02 * np.sin(np.arange(192, dtype=np.float32))[None, :, None]
    cubic, ramps = (
        catmull_rom(sharp, 2),
        [RAMP.model_copy(update={"most": most}) for most in (1.0, 0.8)],
    )
    whole, part = (gated(made.copy(), sharp, 2, ramp) - cubic for ramp in ramps)
    assert part == pytest.approx(0.8 * whole, abs=1e-6)
    asked = gated(made.copy(), sharp, 2, ramps[1], least=1.0) - cubic
    assert asked == pytest.approx(made - cubic, abs=1e-6)


def test_clips_are_finished_with_the_gate_of_their_preset(sharp, weights, monkeypatch):
    use_weights(monkeypatch, weights)
    frame = (sharp * 255).astype(np.uint8)

    def made(most):
        use_gate(monkeypatch, "fast", most=most)
        return next(PresetUpscaler("fast").upscale([frame], Size(width=192, height=128)))

    assert not np.array_equal(made(0.0), made(1.0))


def test_what_denoise_took_away_does_not_come_back(soft):
    clean = enlarge(soft, 2) + 0.01 * np.sin(np.arange(192, dtype=np.float32))[None, :, None]
    assert (
        np.abs(finish_frame(clean.copy(), soft, 2, EnhanceSettings(denoise=1), RAMP) - clean).mean()
        < 1e-3
    )
    assert (
        np.abs(finish_frame(clean.copy(), soft, 2, EnhanceSettings(), RAMP) - clean).mean() > 4e-3
    )


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_cubic_is_pillows(sharp, scale):
    plane = Image.fromarray(np.ascontiguousarray(sharp[..., 0])).resize(
        (96 * scale, 64 * scale), Image.Resampling.BICUBIC
    )
    edge = 2 * scale  # at the border Pillow leaves taps out, where this one repeats pixels
    made = catmull_rom(sharp, scale)[edge:-edge, edge:-edge, 0]
    assert np.abs(made - np.asarray(plane)[edge:-edge, edge:-edge]).max() < 1e-5
