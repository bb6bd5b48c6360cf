"""Clips are a function of seed and index, and never show a held-out photograph."""

import numpy as np
import pytest

from src.core.errors import BadInputError
from src.scenes import photographs
from src.scenes.moves import Move
from src.scenes.sampler import Mix, SceneSampler, corpus


def _sampler(seed=0, **options):
    return SceneSampler(48, 32, seed, canvases=4, **options)


def test_the_same_index_gives_the_same_clip_in_any_order():
    one, other = _sampler(), _sampler()
    later = other.clip(7, 9)
    for index in range(8):
        clip = one.clip(index, 9)
    assert clip.prompt == later.prompt
    assert np.array_equal(clip.scene.frames(), later.scene.frames())


def test_another_seed_gives_other_clips():
    assert not np.array_equal(
        _sampler(0).clip(3, 9).scene.frames(), _sampler(1).clip(3, 9).scene.frames()
    )


@pytest.mark.parametrize("index", range(12))
def test_frames_are_pictures(index):
    clip = _sampler(2, mix=Mix(parallax=0.5, objects=0.5)).clip(index, 17)
    frames = clip.scene.frames()
    assert frames.shape == (17, 32, 48, 3)
    assert frames.std() > 2
    assert clip.prompt.strip()


def test_the_canvas_reaches_as_far_as_a_sway_goes():
    low, high = _sampler()._reach(Move(sway=0.25))
    assert low == pytest.approx([-12, 0])
    assert high == pytest.approx([60, 32])


def test_static_prompts_have_static_clips():
    sampler = _sampler(mix=Mix(static=1.0, objects=0.0))
    frames = sampler.clip(0, 9).scene.frames()
    assert (frames == frames[0]).all()


def test_a_short_clip_is_the_beginning_of_a_long_one():
    mix = Mix(eased=0.0, handheld=0.0)
    short, long = (_sampler(mix=mix).clip(5, n).scene.frames() for n in (9, 17))
    assert np.array_equal(short, long[:9])


def test_all_kinds_come_up():
    sampler = _sampler()
    names = {sampler.clip(index, 9).name for index in range(150)}
    assert {"static", "unnamed", "handheld", "pan left", "roll clockwise"} <= names
    assert any("+" in name for name in names)


def test_held_out_photographs_are_not_trained_on():
    training = {photograph.name for photograph in photographs.TRAINING}
    held_out = {photograph.name for photograph in photographs.HELD_OUT}
    assert training.isdisjoint(held_out)
    assert all(photograph.licence for photograph in photographs.TRAINING + photographs.HELD_OUT)


def test_every_photograph_can_be_read():
    for photograph in photographs.TRAINING + photographs.HELD_OUT:
        assert photographs.load_training_photograph(photograph.name).shape[2] == 3
    with pytest.raises(BadInputError, match="astronaut"):
        photographs.load_training_photograph("nobody")


def test_corpus_is_deterministic_and_varied():
    assert corpus(200) == corpus(200)
    assert len(set(corpus(1000))) > 800
