"""Wordings say what they mean, in hundreds of ways."""

import re

import numpy as np
import pytest

from src.scenes import prompts
from src.scenes.moves import PRIMITIVES, SPEEDS

OPPOSITE = {"pan left": "right", "pan right": "left", "tilt up": "down", "tilt down": "up"}


def _wordings(name, speed="medium", count=400):
    return {prompts.single(name, speed, np.random.default_rng(seed)) for seed in range(count)}


def test_every_verb_can_be_conjugated():
    for actions in prompts.ACTIONS.values():
        for action in actions:
            assert prompts.conjugate(action, 0).split()[0].endswith("s")
            assert prompts.conjugate(action, 1).split()[0].endswith("ing")


@pytest.mark.parametrize("name", prompts.ACTIONS)
def test_a_move_has_many_wordings(name):
    assert len(_wordings(name)) > 40
    assert all(wording == " ".join(wording.split()) and wording for wording in _wordings(name))


@pytest.mark.parametrize("name", OPPOSITE)
def test_directions_are_not_contradicted(name):
    for wording in _wordings(name):
        if "from" not in wording:
            assert not re.search(rf"\b{OPPOSITE[name]}", wording)


@pytest.mark.parametrize("speed", ["slow", "fast"])
def test_speed_words_are_there(speed):
    words = {
        word
        for phrase in (*prompts.ADJECTIVES[speed], *prompts.ADVERBS[speed])
        for word in phrase.split()
    }
    for wording in _wordings("push in", speed):
        assert words & set(wording.split())


def test_speeds_and_moves_are_covered():
    assert set(prompts.ADJECTIVES) == set(prompts.ADVERBS) == set(SPEEDS)
    assert set(prompts.ACTIONS) | {"static", "handheld"} == set(PRIMITIVES)


def test_scenarios_and_flaws_name_no_move():
    moves = re.compile(
        r"\b(pan|tilt|zoom|push|pull|roll|dolly|static|handheld|camera)\b", re.IGNORECASE
    )
    for seed in range(300):
        random = np.random.default_rng(seed)
        assert not moves.search(prompts.scenario(random))
        assert not moves.search(prompts.flaws(random))


def test_combined_names_both():
    for seed in range(60):
        wording = prompts.combined("push in", "pan left", "slow", np.random.default_rng(seed))
        assert re.search(r"left", wording)
        assert re.search(r"push|zoom|dolly|dollies|track|clos|mov", wording)


def test_strange_words_stand_beside_the_move_and_change_nothing_of_it():
    seeds = [np.random.default_rng(seed) for seed in range(300)]
    known = {word for seed in seeds for word in prompts.scenario(seed).lower().split()}
    strange = [prompts.in_scenario("pan left", seed, strange=1.0) for seed in seeds]
    assert all("pan left" in prompt.lower() for prompt in strange)
    others = {word for prompt in strange for word in prompt.lower().replace(",", "").split()}
    assert len(others - known) > 300
    assert any("after the guests left" in prompt for prompt in strange)


def test_without_strange_words_prompts_are_those_of_older_settings():
    def made(*strange):
        return [
            prompts.in_scenario("tilt up", np.random.default_rng(seed), *strange)
            for seed in range(50)
        ]

    assert made() == made(0.0) != made(1.0)
