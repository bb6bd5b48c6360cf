"""What `src.test_setup` says of streaming: right where layers that move compute the same."""

import pytest
import torch

from src.engine.checks import offload
from src.engine.probe import probe
from src.pipelines import placement
from tests.card_kit import OnCard
from tests.streams_kit import streams  # noqa: F401


@pytest.mark.usefixtures("streams")
def test_layers_that_stream_are_compared():
    with OnCard():
        told = offload(probe())
    assert (told.state, told.detail) == ("ok", "layers that moved to the GPU agreed")
    assert offload(probe("cpu")).state == "ok"


def test_other_numbers_are_a_failure(monkeypatch):
    monkeypatch.setattr(placement, "stream", lambda network, *_: _doubled(network))
    told = offload(probe("cpu"))
    assert (told.state, told.detail) == ("failed", "layers that stream compute other numbers")


def _doubled(network):
    with torch.no_grad():
        network[1].weight.mul_(2)
