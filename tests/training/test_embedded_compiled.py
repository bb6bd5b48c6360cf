"""The blocks that train on a card are compiled once, whatever a step's batch and lengths are."""

from dataclasses import replace

import pytest
import torch

from src.pipelines import compiling
from src.pipelines.blueprint import TINY_NANO
from src.pipelines.cogvideox.building import transformer
from src.pipelines.families import family_named
from src.pipelines.family import parts_of
from src.recipes.embedded import transformer as embedded_transformer
from src.recipes.embedded.transformer import compile_transformer, compile_where_possible

PART = parts_of(family_named("cogvideox"), "denoiser")[0]
WIDE = replace(TINY_NANO, head_dim=48, time_embed=48)


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that were made; duck shapes and compiled code are as before afterwards."""
    made = []
    monkeypatch.setattr(compiling, "BACKEND", lambda graph, _: made.append(graph) or graph)
    torch._dynamo.reset()
    # monkeypatch would delete the option afterwards, and whatever compiles later would miss it
    with torch.fx.experimental._config.patch(use_duck_shape=True):
        yield made
    torch._dynamo.reset()


def gradients(model, clips, groups, words):
    """Of one step's mean prediction, for tokens as many as these."""
    rows, columns = WIDE.height // WIDE.spatial_ratio, WIDE.width // WIDE.spatial_ratio
    random = torch.Generator().manual_seed(0)
    joined = torch.randn(
        clips, groups * 4, 2 * WIDE.latent_channels, rows, columns, generator=random
    )
    text = torch.randn(clips, words, WIDE.text_width, generator=random)
    rotary = tuple(torch.randn(2, groups * rows * columns // 4, 48, generator=random))
    model.zero_grad()
    model(joined, text, torch.full((clips,), 9), image_rotary_emb=rotary, return_dict=False)[
        0
    ].square().mean().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_one_graph_serves_all_blocks_batches_and_lengths(graphs):
    model = transformer(WIDE).train()
    wanted = gradients(model, 3, 2, 7)
    compile_transformer(model, PART)
    gradients(model, 48, 2, 7)  # as many clips as a head is wide, by chance
    gradients(model, 20, 3, 11)
    found = gradients(model, 3, 2, 7)
    assert len(graphs) == 1
    for ours, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, plain)


def test_blocks_stay_as_they_are_where_a_compiler_lacks(monkeypatch):
    model = transformer(WIDE)
    monkeypatch.setattr(
        embedded_transformer, "missing_for_compiling", lambda device: "a C compiler"
    )
    compile_where_possible(model, PART)
    assert not any("forward" in vars(block) for block in model.transformer_blocks)
