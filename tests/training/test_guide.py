"""Heads are shown the tokens of the photograph that a token's picture comes from."""

import numpy as np
import pytest
import torch

from src.pipelines.blueprint import TINY_NANO
from src.pipelines.cogvideox.building import transformer
from src.recipes.embedded.guide import BEARINGS, TURNS, Guide, around, bearings, own_places, sources
from src.scenes.moves import named_move, trajectory

GRID, SIDE = (20, 30), 8


def places_of(name, frames):
    motions = torch.from_numpy(trajectory(named_move(name), 49, 240, 160)[frames]).float()
    return sources(motions, GRID, SIDE).mean(dim=0).unflatten(0, GRID)


def test_tokens_come_from_where_the_camera_has_moved_them():
    rows, columns = np.mgrid[:20, :30]
    first = places_of("pan left", [0])
    assert np.allclose(first[..., 0], columns, atol=1e-4)
    assert np.allclose(first[..., 1], rows, atol=1e-4)
    moved = 0.22 * 240 / SIDE  # to the right: what a token shows was further left
    assert np.allclose(places_of("pan left", [48])[..., 0], columns - moved, atol=1e-4)
    grown = places_of("push in", [48])
    assert np.allclose(grown[..., 0] - 14.5, (columns - 14.5) / 1.3, atol=1e-4)


def test_a_token_of_several_frames_comes_from_their_middle():
    several, middle = places_of("tilt up", [10, 11, 12, 13, 14]), places_of("tilt up", [12])
    assert np.allclose(several, middle, atol=1e-4)


def test_each_head_has_a_corner_of_the_tokens_around_a_place():
    asked = torch.tensor([[3.4, 5.2], [0.0, 19.0], [-0.6, 2.0], [29.4, 0.0]])
    tokens, inside = around(asked, GRID)
    corners = [(int(token) // 30, int(token) % 30) for token in tokens[0]]
    assert corners == [(5, 3), (5, 4), (6, 3), (6, 4)]
    assert inside.tolist() == [True, True, False, True]
    assert tokens.min() >= 0
    assert tokens.max() < 600


def test_where_nothing_moves_the_first_head_has_the_token_itself():
    places = places_of("static", [24]).flatten(0, 1)
    for off in (-1e-5, 0.0, 1e-5):
        tokens, inside = around(places + off, GRID)
        assert tokens[:, 0].tolist() == list(range(600))
        assert bool(inside.all())


@pytest.fixture
def watched():
    torch.manual_seed(0)
    model = transformer(TINY_NANO)
    guide = Guide([model.transformer_blocks[1]], 96, (6, 8))
    guide.watching = True
    return model, guide


def forward(model, clips=2, groups=3):
    random = torch.Generator().manual_seed(1)
    video = torch.randn(clips, 4 * groups, 16, 12, 16, generator=random)
    text = torch.randn(clips, 7, 16, generator=random)
    rotary = tuple(torch.randn(2, 48 * groups, 16, generator=random))
    timesteps = torch.zeros(clips, dtype=torch.long)
    model(video, text, timesteps, image_rotary_emb=rotary, return_dict=False)


ALL = torch.ones(2, dtype=torch.bool)


def test_what_is_asked_is_what_the_block_attends_to(watched, monkeypatch):
    """The cross-entropy is of the attention that the block itself computes."""
    model, guide = watched
    given = []
    stock = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda q, k, v, **rest: given.append((q, k)) or stock(q, k, v, **rest),
    )
    forward(model)
    query, key = given[1]
    attention = (query @ key.transpose(2, 3) / 4).log_softmax(-1)
    places = torch.rand(2, 3, 1, 48, 2) * torch.tensor([7.0, 5.0])
    tokens, inside = around(places[:, 1:, 0].flatten(1, 2), (6, 8))
    aims = (tokens + 7).transpose(1, 2)[..., None]
    wanted = -attention[:, :, 7 + 48 :].gather(3, aims)[..., 0].mean()
    assert bool(inside.all())
    found = guide.corners_missed(places, ALL, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, wanted)


def losses_of(model, parameters, loss_of, steps):
    """What `loss_of` gives before each step of Adam on these parameters."""
    optimizer, seen = torch.optim.Adam(parameters, lr=1e-2), []
    for _ in range(steps):
        forward(model)
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    return seen


def test_heads_learn_to_look_there(watched):
    model, guide = watched
    places = torch.zeros(2, 3, 4, 48, 2) + torch.tensor([3.2, 2.3])

    def missed():
        return guide.corners_missed(places, ALL, torch.Generator().manual_seed(0))

    seen = losses_of(model, model.parameters(), missed, 30)
    assert seen[-1] < 0.5 * seen[0]


def test_prompts_that_tell_nothing_guide_nothing(watched):
    model, guide = watched
    forward(model)
    assert float(guide.corners_missed(torch.zeros(2, 3, 4, 48, 2), ~ALL, torch.Generator())) == 0


def test_bearings_tell_the_way_and_the_part_of_a_token():
    places = own_places(GRID, torch.device("cpu")) + torch.tensor([[[-2.25, 0.5]]])
    told = bearings(torch.cat([places, places + 0.2]), GRID)
    assert told.shape == (600, BEARINGS)
    way = torch.tensor([-2.15, 0.6])
    turns = way[:, None] * torch.tensor(TURNS)
    wanted = torch.cat(
        [turns.cos().flatten(), turns.sin().flatten(), way / 10, torch.full((2,), 0.2)]
    )
    torch.testing.assert_close(told, wanted.expand(600, -1), atol=1e-4, rtol=0)


def test_bearings_are_learned(watched):
    model, guide = watched
    torch.manual_seed(0)
    read_out = torch.nn.Linear(64, BEARINGS)
    places = own_places((6, 8), torch.device("cpu")) + torch.zeros(2, 3, 4, 48, 2)
    places = places + torch.tensor([0.7, -1.3])

    def off():
        return guide.bearings_off(read_out, places, ALL)

    seen = losses_of(model, [*model.parameters(), *read_out.parameters()], off, 40)
    assert seen[-1] < 0.1 * seen[0]


def test_a_guide_that_counts_no_more_keeps_nothing(watched):
    model, guide = watched
    guide.watching = False
    forward(model)
    assert not guide._seen
    guide.watching = True
    forward(model)
    guide.forget()
    assert not guide._seen
