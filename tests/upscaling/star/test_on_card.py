"""STAR on a stand-in for a card: whole, its parts in turns, and with our own network after it."""

from dataclasses import replace

import numpy as np
import pytest

from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.registry import load_backend
from src.upscaling.star import backend as star_module
from src.upscaling.star.backend import EVALUATIONS
from tests.card_kit import OnCard
from tests.streams_kit import streams  # noqa: F401

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3)).astype(np.uint8)


@pytest.fixture
def made(star, monkeypatch):
    """Frames by a backend of this scale on this device; mode: whether its parts take turns."""
    monkeypatch.setattr(star_module, "EVALUATIONS", dict.fromkeys(EVALUATIONS, 2))
    cut = star_module.plan

    def make(scale, device, mode):
        backend = load_backend(
            UpscalerChoice("fast", scale, upscaler="star", folder=star, device=device)
        )
        monkeypatch.setattr(star_module, "plan", lambda *given: replace(cut(*given), mode=mode))
        run = UpscaleRun(seed=5)
        return np.stack(list(enlarged(backend, Stretch(FRAMES), EnhanceSettings(), run)))

    return make


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("scale", [4, 8])
def test_frames_are_the_processors(made, scale):
    wanted = made(scale, "cpu", "whole")
    with OnCard():
        whole, turns = (made(scale, "cuda", mode) for mode in ("whole", "offloaded"))
    assert np.array_equal(whole, turns)
    alike = np.corrcoef(whole.ravel(), wanted.ravel())[0, 1]
    assert alike > 0.99, "a card computes in halves"
