"""Upscalers that denoise, on a stand-in for a card: weights that do not fit stream, and the frames
stay the same.
"""

from dataclasses import replace

import numpy as np
import pytest

from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.diffusion import Placement
from src.upscaling.feeding import enlarged
from src.upscaling.registry import detect, load_backend
from tests.card_kit import OnCard
from tests.diffusion_kit import build_dove, build_sdxl, use_folder
from tests.streams_kit import streams, unmoved  # noqa: F401


def dove(tmp_path, _):
    detected = detect(build_dove(tmp_path / "dove"))
    return UpscalerChoice("quality", 2, upscaler="x", detected=detected, device="cuda")


def sdxl(tmp_path, monkeypatch):
    use_folder(monkeypatch, tmp_path / "configs", "sdxl", build_sdxl(tmp_path / "sdxl"))
    return UpscalerChoice("balanced", 2, upscaler="sdxl", seed=3, device="cuda")


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("choice_of", [dove, sdxl])
def test_weights_that_stream_make_the_same_frames(choice_of, tmp_path, monkeypatch):
    choice, place, placed = choice_of(tmp_path, monkeypatch), Placement.place, []
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)

    def made(backend):
        run = UpscaleRun(seed=3)
        return np.stack(list(enlarged(backend, Stretch(frames), EnhanceSettings(), run)))

    def streamed(placement, fitted):
        placed.append(placement)
        place(placement, replace(fitted, offload=True))

    with OnCard():
        whole = made(load_backend(choice))
        monkeypatch.setattr(Placement, "place", streamed)
        backend = load_backend(choice)
        for _ in range(2):
            assert np.array_equal(made(backend), whole)
        assert unmoved(placed[0].denoiser) == []
