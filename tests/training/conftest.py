"""A small recipe that trains in a second a step."""

import pytest

from src.pipelines.blueprint import TINY_NANO
from src.recipes.embedded.settings import (
    DecoderStage,
    EmbeddedSettings,
    TextStage,
    TransformerStage,
    WordsStage,
)
from src.training.settings import Rate


@pytest.fixture(scope="session")
def small():
    """A blueprint of the embedded model's form: codes of single frames, clean latents predicted."""
    return TINY_NANO


@pytest.fixture(scope="session")
def settings():
    stage = {"steps": 40, "share": 0.5, "rate": Rate(peak=2e-3, warmup=2, decay=4)}
    return EmbeddedSettings(
        seed=1, corpus=300, fit_clips=6, canvases=4, threads=1,
        decoder=DecoderStage(**stage | {"steps": 14}, crops=2, crop_height=32, crop_width=32),
        text=TextStage(**stage, prompts=8),
        transformer=TransformerStage(**stage, batches={2: 3}, draw={0: {2: 1.0}}, long_text=0.2),
        words=WordsStage(**stage, prompts=8),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    """Accelerate keeps one precision a process; each test may choose its own."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, small, settings):
    """A folder whose codes are fitted."""
    from src.recipes.embedded.parts import prepare_parts

    folder = tmp_path_factory.mktemp("run")
    prepare_parts(small, settings, folder)
    return folder
