"""Training on a stand-in for a card: what is learnt there is what a processor learns."""

from contextlib import contextmanager

import pytest
import torch
from accelerate.state import AcceleratorState

from src.recipes.lora.settings import Samples
from tests.card_kit import OnCard
from tests.training.lora_kit import run, weights
from tests.training.test_distill import distill


@contextmanager
def afresh():
    """Accelerate looks for a device once a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def both(tmp_path, encoded, monkeypatch):
    """Adapters of what trains into a folder, by the processor and by the card, which does not find
    the processor's encodings.
    """

    def make(trained):
        here = weights(trained(tmp_path / "here"))
        monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "another"))
        with OnCard() as card, afresh():
            there = weights(trained(tmp_path / "there"))
        assert card.storages, "nothing came to the card"
        return here, there

    return make


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_checkpointing": True},
        {"steady": 0.3, "samples": Samples(count=1, num_inference_steps=2)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_adapter_is_the_processors(both, clip_set, tiny_folder, changes):
    same(*both(lambda folder: run(clip_set, tiny_folder, folder, **changes)))


def test_a_distilled_one_is_the_processors(both, clip_set, tiny_folder):
    same(*both(lambda folder: distill(clip_set, tiny_folder, folder, repeats=2)[0]))


def same(here, there):
    assert here.keys() == there.keys()
    for name, each in here.items():
        assert torch.allclose(there[name], each, atol=1e-5), name
