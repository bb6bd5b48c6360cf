"""A small recipe that trains in a second a step."""

import dataclasses

import pytest

from src.pipelines.blueprint import TINY
from src.training.settings import DecoderStage, EmbeddedSettings, Rate, TransformerStage


@pytest.fixture(scope="session")
def small():
    """A blueprint with room for the three functions of time in its first block."""
    return dataclasses.replace(TINY, vae_channels=(16, 16, 16, 16), latent_channels=8)


@pytest.fixture(scope="session")
def settings():
    stage = {"steps": 40, "share": 0.5, "rate": Rate(peak=2e-3, warmup=2, decay=4), "batches": {9: 2},
             "draw": {0: {9: 1.0}}}  # fmt: skip
    return EmbeddedSettings(
        seed=1, corpus=300, fit_clips=6, canvases=4, threads=1,
        decoder=DecoderStage(**stage | {"steps": 14, "batches": {9: 1}}, crop_height=32, crop_width=32),
        transformer=TransformerStage(**stage),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    """Accelerate keeps one precision a process; each test may choose its own."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, small, settings):
    """A folder whose codes are fitted."""
    from src.training.embedded import prepare

    folder = tmp_path_factory.mktemp("run")
    prepare(small, settings, folder)
    return folder
