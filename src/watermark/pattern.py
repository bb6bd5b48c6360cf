"""Where a key puts each bit: signs and places among the frequencies of a small picture. Pure."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from src.watermark.bch import LENGTH

WIDTH, HEIGHT = 180, 120
"""Every picture is brought to this size first, so that its own does not matter."""
LOWEST, HIGHEST = 26, 115
"""Half waves a width (a height counts for as much): below one sees it, above coding takes it."""
SYNC_SHARE = 0.3
SYNC_GROUPS = 54
"""Known bits that say whether there is a mark, and where: their coefficients are 30 % of all."""
GROUPS = LENGTH + SYNC_GROUPS


@dataclass(frozen=True)
class Pattern:
    """places: (n,) flat indices of a (120, 180) spectrum. signs: (n,) of -1 and 1. groups: (n,) the
    bit of each, 0 to 126 of the code word, 127 to 180 known. radii: (n,) ring of each, from 0.
    sizes: (181,) coefficients a bit.
    """

    places: np.ndarray
    signs: np.ndarray
    groups: np.ndarray
    radii: np.ndarray
    sizes: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(181,) of (n,) values, each by its sign, divided by the root of how many they are: of
        independent values of deviation 1 the deviation is 1.
        """
        return np.bincount(self.groups, self.signs * values, GROUPS) / np.sqrt(self.sizes)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(n,) of (181,): each coefficient its bit's value, by its sign."""
        return self.signs * values[self.groups]


@lru_cache(maxsize=16)
def pattern_of(key: bytes) -> Pattern:
    """The pattern of a key."""
    places, radii = _band()
    rng = np.random.Generator(np.random.PCG64(_seed(key)))
    groups = _dealt(len(places), rng)
    signs = rng.integers(0, 2, len(places)) * 2.0 - 1.0
    return Pattern(places, signs, groups, radii, np.bincount(groups, minlength=GROUPS))


def _seed(key: bytes) -> int:
    return int.from_bytes(hashlib.shake_256(b"newsreel watermark pattern " + key).digest(32))


def _dealt(count: int, rng: np.random.Generator) -> np.ndarray:
    """A bit for each coefficient, as many for all of a kind."""
    known = round(SYNC_SHARE * count)
    groups = np.concatenate(
        [LENGTH + np.arange(known) % SYNC_GROUPS, np.arange(count - known) % LENGTH]
    )
    return rng.permutation(groups)


def _band() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot(rows * (WIDTH / HEIGHT), columns)
    places = np.flatnonzero((radius >= LOWEST) & (radius < HIGHEST))
    return places, ((radius.flat[places] - LOWEST) // 4).astype(int)
