"""Muon: orthogonal updates for matrices, AdamW for the rest."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from src.training.muon import Muon, orthogonalised
from src.training.optimizers import parameter_groups
from src.training.settings import LoopSettings


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert orthogonalised(matrix).shape == shape
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_updates_have_the_size_of_adamw():
    weight = nn.Parameter(torch.zeros(64, 64))
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=1e-3, weight_decay=0.0)
    weight.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    assert weight.square().mean().sqrt().item() == pytest.approx(2e-4, rel=0.2)


def test_matrices_of_named_layers_only():
    model = nn.ModuleDict({"blocks": nn.Linear(4, 4), "out": nn.Linear(4, 2)})
    groups = {
        group["orthogonal"]: group["params"] for group in parameter_groups(model, {}, ("blocks",))
    }
    assert groups[True] == [model["blocks"].weight]
    assert len(groups[False]) == 3


def test_it_learns():
    torch.manual_seed(0)
    layer = nn.Linear(32, 32, bias=False)
    optimizer = Muon([{"params": [layer.weight], "orthogonal": True}], lr=0.03, weight_decay=0.0)
    losses = []
    for _ in range(60):
        inputs = torch.randn(64, 32)
        losses.append((layer(inputs) - inputs).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


def test_state_survives_saving():
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=0.1)
    weight.grad = torch.eye(4)
    optimizer.step()
    other = Muon([{"params": [nn.Parameter(torch.ones(4, 4))], "orthogonal": True}], lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(
        other.state[other.param_groups[0]["params"][0]]["momentum"],
        optimizer.state[weight]["momentum"],
    )


def test_muon_is_refused_beside_an_optimizer_that_would_replace_it():
    with pytest.raises(ValidationError, match="muon goes with optimizer adamw"):
        LoopSettings(steps=1, muon=("blocks",), optimizer="adamw8bit")


def test_matrices_of_one_shape_are_updated_as_alone():
    """Together in one launch, and each by its own gradient."""

    def updated(count):
        weights = [nn.Parameter(torch.zeros(6, 4)) for _ in range(count)]
        wide = nn.Parameter(torch.zeros(4, 6))
        optimizer = Muon([{"params": [*weights, wide], "orthogonal": True}], lr=0.1)
        for seed, weight in enumerate([*weights, wide]):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
        return weights

    torch.testing.assert_close(updated(3)[0], updated(1)[0])
    assert not torch.allclose(updated(3)[1], updated(3)[0])
