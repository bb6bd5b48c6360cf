import cv2
import numpy as np
import pytest

from src.catalog.upscalers import find_upscaler
from src.core.config import validate
from src.core.errors import BadInputError
from src.core.plan import Size
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.clips import PresetUpscaler
from src.upscaling.enhance import HALO, enlarge, finish_frame, sharpened
from src.upscaling.feeding import enlarged
from src.upscaling.registry import load_backend
from src.upscaling.smoothing import TemporalSmoother

GATE = find_upscaler("newsreel").presets["balanced"].gate


@pytest.fixture(scope="module")
def source():
    """(64, 96, 3) float32: smooth blobs with edges."""
    random = np.random.default_rng(0)
    picture = cv2.resize(
        random.random((8, 12, 3), np.float32), (96, 64), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(picture + 0.3 * (picture > 0.5), 0, 1).astype(np.float32)


def test_each_knob_runs_from_nought_to_one():
    for name in EnhanceSettings.model_fields:
        with pytest.raises(BadInputError, match=name):
            validate({name: 1.1}, EnhanceSettings, "the flags")


def test_low_frequencies_come_from_the_source(source):
    made = enlarge(source, 2) + 0.1
    out = finish_frame(made, source, 2, EnhanceSettings(), GATE)
    assert abs(float((out - enlarge(source, 2)).mean())) < 0.005


def test_details_are_put_back_by_their_share(source):
    soft = cv2.GaussianBlur(enlarge(source, 2), (0, 0), 2.0)
    lacks = []
    for share in (0.0, 0.5, 1.0):
        out = finish_frame(soft.copy(), source, 2, EnhanceSettings(preserve_details=share), GATE)
        lacks.append(
            float(np.abs(cv2.resize(out, (96, 64), interpolation=cv2.INTER_AREA) - source).mean())
        )
    assert lacks[0] > 1.3 * lacks[1] > 1.3 * lacks[2]


def test_sharpening_steepens_edges_without_halos(source):
    soft = cv2.GaussianBlur(enlarge(source, 2), (0, 0), 1.5)
    steep = [
        float(np.abs(np.diff(sharpened(soft, amount, 2), axis=1)).mean())
        for amount in (0.0, 0.5, 1.0)
    ]
    assert steep[0] < steep[1] < steep[2]
    around = np.ones((3, 3), np.uint8)
    out = sharpened(soft, 1.0, 2)
    assert (out <= cv2.dilate(soft, around) + HALO + 1e-6).all() and (
        out >= cv2.erode(soft, around) - HALO - 1e-6
    ).all()


def moving(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    wide = cv2.resize(
        random.random((16, 40, 3), np.float32), (160, 64), interpolation=cv2.INTER_CUBIC
    )
    return [np.ascontiguousarray(np.clip(wide[:, 2 * t : 2 * t + 96], 0, 1)) for t in range(count)]


def flicker(strength: float) -> float:
    """How much detail that comes and goes is left: deviation over time after the motion is taken
    out.
    """
    random, steady, errors = np.random.default_rng(2), TemporalSmoother(strength, 2), []
    for source in moving(8):
        base = enlarge(source, 2)
        noise = cv2.GaussianBlur(random.normal(0, 0.05, base.shape).astype(np.float32), (0, 0), 1.0)
        errors.append(float(np.abs(steady(base + noise, source) - base)[8:-8, 24:-24].mean()))
    return float(np.mean(errors[2:]))


def test_steadiness_damps_detail_that_does_not_follow_the_motion():
    assert flicker(0.8) < 0.7 * flicker(0.4) + 0.3 * flicker(0.0) < flicker(0.0)


def test_steadiness_leaves_still_pictures_and_the_first_frame_alone(source):
    steady, base = TemporalSmoother(0.8, 2), enlarge(source, 2)
    assert np.allclose(steady(base + 0.01, source), base + 0.01)
    assert np.allclose(steady(base + 0.01, source), base + 0.01, atol=1e-5)


def test_a_cut_and_a_tiny_picture_are_not_blended(source):
    steady = TemporalSmoother(0.8, 2)
    steady(enlarge(source, 2) + 0.1, source)
    steady.reset()
    assert np.array_equal(steady(enlarge(source, 2), source), enlarge(source, 2))
    small = source[:16, :16]
    assert TemporalSmoother(0.8, 2)(enlarge(small, 2), small) is not None


def test_clips_are_sharpened_as_their_preset_says_and_files_as_is_asked(source):
    frame = (source * 255).astype(np.uint8)
    size = Size(width=4 * frame.shape[1], height=4 * frame.shape[0])
    (made,) = PresetUpscaler("nano").upscale([frame], size)
    spec = find_upscaler("newsreel")
    backend = load_backend(UpscalerChoice("nano", 4))
    (large,) = enlarged(backend, Stretch(frame[None]), EnhanceSettings(), UpscaleRun())
    read = frame.astype(np.float32) / 255
    wanted = backend.finish(large.copy(), read, EnhanceSettings(sharpen=0.2))
    assert spec.presets["nano"].sharpen == 0.2
    assert np.abs(made - np.clip(np.rint(wanted * 255), 0, 255)).max() <= 1
    softer = backend.finish(large.copy(), read, EnhanceSettings())
    assert np.abs(softer - wanted).max() > 0.01
