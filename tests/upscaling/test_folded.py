"""A processor computes a network in another order: the sums are the network's own."""

import numpy as np
import pytest
import torch

from src.upscaling.builds.folded import FoldedForm
from src.upscaling.builds.forms import TorchForm
from src.upscaling.builds.proof import EQUAL, compare_form
from src.upscaling.builds.usual import float_form, usual_form
from src.upscaling.network import previous
from src.upscaling.runtime import NetworkRunner

from .conftest import tiny_network

SHAPES = [{}, {"hidden": 4}, {"taps": 1, "heads": 0}, {"blocks": 0, "groups": 4, "attention": 0}]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_folded_network_is_the_network(scale, shape):
    network = tiny_network(scale, **shape)
    found = compare_form(FoldedForm(network), network)
    assert found.worst < EQUAL and abs(found.flicker) < 1e-4, found


def test_frames_that_go_together_are_those_that_go_alone():
    network, told = tiny_network(), torch.tensor([[0.7, 0.2]]).expand(3, -1)
    form, frames = FoldedForm(network), torch.rand(3, 3, 16, 24)
    stacked = frames.repeat(1, 3, 1, 1)
    made = _decoded(form, frames, *form.features(stacked, told), told)
    for t in range(3):
        one = slice(t, t + 1)
        alone = form.features(stacked[one], told[one])
        near = form.features(stacked[max(0, t - 1)][None], told[one])[1]
        want = form.decode(frames[one], alone[0], (near, alone[1], alone[1]), told[one])
        assert torch.allclose(made[one], want, atol=EQUAL)
    plain = TorchForm(network)
    want = _decoded(plain, frames, *plain.features(stacked, told), told)
    assert torch.allclose(made, want, atol=EQUAL)


def _decoded(form, frames, x, y, told):
    return form.decode(frames, x, (previous(y[None])[0], y, y), told)


def test_a_processor_takes_it_by_itself(frames):
    network = tiny_network()
    assert isinstance(usual_form(network), FoldedForm)
    assert isinstance(float_form(network), FoldedForm)
    made = np.concatenate(list(NetworkRunner(network).run(frames, 0, 0, (0.0, 0.0))))
    plain = NetworkRunner(network, form=TorchForm(network)).run(frames, 0, 0, (0.0, 0.0))
    assert np.abs(made - np.concatenate(list(plain))).max() < EQUAL
