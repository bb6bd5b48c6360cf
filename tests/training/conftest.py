"""A small recipe that trains in a second a step, and clips that are encoded."""

import shutil

import pytest
import torch

from src.core.devices import cpu_threads
from src.pipelines.blueprint import TINY_NANO
from src.recipes.embedded.settings import (
    DecoderStage,
    EmbeddedSettings,
    TextStage,
    TransformerStage,
    WordsStage,
)
from src.recipes.lora.encoding import Share
from src.recipes.lora.run import encode_all
from src.training.settings import Rate
from tests.training import lora_kit


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


@pytest.fixture(scope="session")
def encodings(clip_set, tiny_folder, tmp_path_factory):
    """The cache of a home where the set's clips and captions are encoded, as `lora_kit.SETTINGS`
    wants them.
    """
    folder = tmp_path_factory.mktemp("encodings")
    with pytest.MonkeyPatch.context() as patch, cpu_threads(1):
        patch.setenv("NEWSREEL_HOME", str(folder))
        found = lora_kit.look(clip_set, tiny_folder, folder / "out")
        encode_all(found, torch.device("cpu"), Share())
    return folder / "cache"


@pytest.fixture
def encoded(home, encodings):
    """The test's home begins with them."""
    shutil.copytree(encodings, home / "cache")
