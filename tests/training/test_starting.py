"""Weights from another network: with less room nothing is lost where nothing was in the room left
out, and with more nothing is another at first.
"""

import pytest
import torch

from src.core.errors import BadInputError
from src.recipes.upscaler.narrowing import SIDE, still_clips
from src.recipes.upscaler.starting import weights_from
from src.upscaling.network import build_network
from src.upscaling.presets import network_spec
from tests.upscaling.conftest import tiny_network


def put_into(source, **less):
    """A network with less room, and what both make of a clip that stands still."""
    target = build_network(source.spec.model_copy(update=less)).eval().requires_grad_(False)
    target.load_state_dict(weights_from(source, target))
    clip, told = still_clips(source.spec.scale)[:2, :, :, :32, :32], torch.zeros(2, 2)
    return target, source(clip, told), target(clip, told)


def test_with_the_same_room_the_weights_are_the_same():
    source = tiny_network(taps=1)
    target, want, made = put_into(source)
    assert torch.equal(want, made)
    assert all(map(torch.equal, source.parameters(), target.parameters()))


def test_channels_that_the_others_make_good_for_are_left_out():
    source = tiny_network(taps=1)
    for block in (*source.before, *source.after):
        block.second.weight[:, ::2] = 0
    target, want, made = put_into(source, hidden=4)
    assert target.before[0].first.weight.shape[0] == 4
    assert torch.equal(target.before[0].first.weight, source.before[0].first.weight[1::2])
    assert (want - made).abs().max() < 1e-3 < want.std()


def test_one_matrix_stands_for_an_alignment_that_only_mixes_channels():
    source = tiny_network(taps=1)
    width = source.spec.trunk
    source.fuse.weight[:, width:] = 0
    source.attend[0].out.weight.zero_()
    target, want, made = put_into(source, align=0, heads=0)
    assert not hasattr(target, "align") and not hasattr(target.attend[0], "qkv")
    assert (want - made).abs().max() < 1e-3 < want.std()
    assert target.spec.context == source.spec.context - 1


def test_less_room_is_nearer_to_the_source_than_no_training():
    source = tiny_network(4)
    less = {"align": 0, "heads": 0, "hidden": 4}
    _, want, made = put_into(source, **less)
    untrained = build_network(source.spec.model_copy(update=less))
    clip = still_clips(4)[:2, :, :, :32, :32]
    assert (want - made).square().mean() < 0.1 * (
        want - untrained(clip, torch.zeros(2, 2))
    ).square().mean()


def test_of_a_network_with_other_widths_only_what_fits_is_taken():
    source = tiny_network(taps=1)
    wider = source.spec.model_copy(update={"channels": 2 * source.spec.channels, "align": 0})
    target = build_network(wider)
    own, given = dict(target.named_parameters()), dict(source.named_parameters())
    made = weights_from(source, target)
    assert made.keys() == own.keys()
    assert all(
        torch.equal(made[name], given[name] if fits else own[name])
        for name in own
        for fits in [name in given and given[name].shape == own[name].shape]
    )


def test_a_network_of_which_nothing_fits_is_refused():
    source, wider = (build_network(network_spec(preset, 2)) for preset in ("fast", "balanced"))
    with pytest.raises(
        BadInputError, match="no layer fits, 32 and 32 channels there and 48 and 48"
    ):
        weights_from(source, wider)


def test_more_blocks_change_nothing_at_first_and_learn():
    source = tiny_network(taps=1)
    more = {"blocks": source.spec.blocks + 2, "attention": source.spec.attention + 1}
    target, want, made = put_into(source, **more)
    assert torch.equal(want, made)
    target.requires_grad_(True)
    target(torch.rand(1, 3, 3, 16, 16), torch.zeros(1, 2)).square().mean().backward()
    for block in (target.before[-1].second, target.after[-1].second, target.attend[-1].narrow):
        assert block.weight.grad.abs().max() > 0


def test_the_pictures_stand_still_and_hold_detail():
    for scale in (2, 4):
        clips = still_clips(scale)
        assert len(clips) >= 4 and clips.shape[1:] == (3, 3, SIDE, SIDE)
        assert torch.equal(clips[:, 0], clips[:, 2]) and clips.std(dim=(-1, -2)).mean() > 0.05
