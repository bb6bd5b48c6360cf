"""Weights of upscalers that denoise stream where they do not fit: the frames stay the same."""

from dataclasses import replace

import numpy as np
import pytest

from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.diffusion import Placement
from src.upscaling.feeding import enlarged
from src.upscaling.registry import detect, load_backend
from tests.diffusion_kit import build_dove, build_sdxl, use_folder
from tests.streams_kit import streams, unmoved  # noqa: F401


def load_dove(tmp_path, _):
    detected = detect(build_dove(tmp_path / "dove"))
    return load_backend(UpscalerChoice("quality", 2, upscaler="x", detected=detected))


def load_sdxl(tmp_path, monkeypatch):
    use_folder(monkeypatch, tmp_path / "configs", "sdxl", build_sdxl(tmp_path / "sdxl"))
    return load_backend(UpscalerChoice("balanced", 2, upscaler="sdxl", seed=3))


@pytest.mark.parametrize("load", [load_dove, load_sdxl])
def test_weights_that_stream_make_the_same_frames(load, tmp_path, monkeypatch, streams):  # noqa: F811
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)

    def made(backend):
        run = UpscaleRun(seed=3)
        return np.stack(list(enlarged(backend, Stretch(frames), EnhanceSettings(), run)))

    backend = load(tmp_path, monkeypatch)
    whole, place, placed = made(backend), Placement.place, []

    def streamed(placement, fitted):
        placed.append(placement)
        place(placement, replace(fitted, offload=True))

    monkeypatch.setattr(Placement, "place", streamed)
    backend = load(tmp_path / "again", monkeypatch)
    for _ in range(2):
        assert np.array_equal(made(backend), whole)
    assert unmoved(placed[0].denoiser) == []
