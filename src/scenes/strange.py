"""Sentences in words that no list of the scenes holds: what a prompt says beside the move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ONSETS = ("", "b", "c", "ch", "d", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pr",
          "qu", "r", "s", "sh", "st", "t", "th", "tr", "v", "w", "y", "z")  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "io", "oa", "ou")
CODAS = ("", "", "", "l", "m", "n", "nd", "ng", "r", "rs", "s", "st", "t", "th", "x")
TURNS_OF_SPEECH = (
    "after the guests left", "right after the verdict", "left behind", "the right to vote",
    "shut down", "going up in flames", "up to now", "down the river", "fast food", "slow recovery",
    "broken in", "out of work", "pulled from the water", "a push for peace", "pull of the tide",
    "frying pan", "roll call", "rolling hills", "tilted roof", "turned away", "moving house",
    "a still morning", "static on the line", "steady hands", "handheld radio", "zoom call",
)  # fmt: skip
"""Words of the camera that say nothing of it."""
DIRECTIONS = ("left", "right", "up", "down", "in", "out", "back", "close", "turn", "fast", "still")
BEFORE = (",", ".", ";", " -", ":", "", " and")
AFTER = (",", ",", ".", ":", " of", " on", " over", "")
"""What stands between a move and the scenario before it, or after it."""


def pick(random: np.random.Generator, options: Sequence[str]) -> str:
    """One of them, each as likely."""
    return options[int(random.integers(len(options)))]


def strange_scenario(random: np.random.Generator) -> str:
    """What no list holds: made-up words, and often a turn of speech that sounds like the camera's:
    "Moribel tuk, after the guests left, sanore".
    """
    words = [_made_up(random) for _ in range(int(random.integers(2, 8)))]
    if random.random() < 0.4:
        words.insert(int(random.integers(len(words) + 1)), pick(random, TURNS_OF_SPEECH))
    said = " ".join(word + ("," if random.random() < 0.15 else "") for word in words)
    return said.rstrip(",")


def beside_strange_words(phrase: str, random: np.random.Generator) -> str:
    """`phrase` with a scenario that no list holds before it, after it, or on both sides: "Moribel
    left tuk: tilt down". Words of the camera may stand between the strange ones.
    """
    before, after = strange_scenario(random), strange_scenario(random)
    if random.random() < 0.3:
        before = f"{before} {pick(random, DIRECTIONS)} {_made_up(random)}"
    before = before[0].upper() + before[1:] if random.random() < 0.6 else before
    kind = random.random()
    if kind < 0.5:
        return f"{before}{pick(random, BEFORE)} {phrase}"
    if kind < 0.8:
        return f"{phrase}{pick(random, AFTER)} {after}"
    return f"{before}, {phrase}, {after}"


def _made_up(random: np.random.Generator) -> str:
    """A word of one to four syllables, at times a name or a number."""
    if random.random() < 0.06:
        return str(random.integers(2, 2100))
    syllables = [
        pick(random, ONSETS) + pick(random, VOWELS) + pick(random, CODAS)
        for _ in range(int(random.integers(1, 5)))
    ]
    word = "".join(syllables)
    return word.capitalize() if random.random() < 0.1 else word
