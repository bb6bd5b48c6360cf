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


def in_mode(plan, mode):
    return lambda *given: replace(plan(*given), mode=mode)


@pytest.fixture
def made(star, monkeypatch):
    """Frames by a backend of this scale on this device, in each mode: whether its parts take
    turns.
    """
    monkeypatch.setattr(star_module, "EVALUATIONS", dict.fromkeys(EVALUATIONS, 2))
    cut = star_module.plan

    def make(scale, device, *modes):
        backend = load_backend(
            UpscalerChoice("fast", scale, upscaler="star", folder=star, device=device)
        )
        for mode in modes:
            monkeypatch.setattr(star_module, "plan", in_mode(cut, mode))
            run = UpscaleRun(seed=5)
            yield np.stack(list(enlarged(backend, Stretch(FRAMES), EnhanceSettings(), run)))

    return make


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("scale", [4, 8])
def test_frames_are_the_processors(made, scale):
    (wanted,) = made(scale, "cpu", "whole")
    with OnCard():
        turns, whole = made(scale, "cuda", "offloaded", "whole")  # the first leaves no part there
    assert np.array_equal(whole, turns)
    alike = np.corrcoef(whole.ravel(), wanted.ravel())[0, 1]
    assert alike > 0.99, "a card computes in halves"
