"""Photographs in the public domain that scikit-image ships, as canvases to move a camera over.

Each is dedicated CC0 or stated free of restrictions by its source (the docstring of
`skimage.data.NAME`); pictures whose licence is not stated there are left out. `HELD_OUT` serves
evaluation and is never trained on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from src.core.errors import BadInputError


@dataclass(frozen=True)
class TrainingPhotograph:
    """A name in `skimage.data` with the ground on which it may be used."""

    name: str
    licence: str


TRAINING = (
    TrainingPhotograph("camera", "CC0, Lav Varshney"),
    TrainingPhotograph("brick", "CC0, cc0textures.com"),
    TrainingPhotograph("grass", "CC0, linolafett"),
    TrainingPhotograph("gravel", "CC0, cc0textures.com"),
    TrainingPhotograph("cell", "CC0, Paul Müller"),
    TrainingPhotograph("clock", "public domain, Stefan van der Walt"),
    TrainingPhotograph("coins", "no known restrictions, Brooklyn Museum"),
    TrainingPhotograph("hubble_deep_field", "public domain, NASA"),
    TrainingPhotograph("immunohistochemistry", "no known restrictions, CMMI"),
    TrainingPhotograph("retina", "CC0, Mikael Häggström"),
    TrainingPhotograph("text", "public domain, Wikipedia"),
)
HELD_OUT = (
    TrainingPhotograph("astronaut", "public domain, NASA"),
    TrainingPhotograph("coffee", "CC0, Rachel Michetti"),
    TrainingPhotograph("cat", "CC0, Stefan van der Walt"),
    TrainingPhotograph("rocket", "public domain, SpaceX"),
)


PACKED = "NEWSREEL_PHOTOGRAPHS"
"""The variable that names a file of `pack_photographs`, for machines without scikit-image."""


@cache
def load_training_photograph(name: str) -> np.ndarray:
    """The photograph as (H, W, 3) uint8 RGB, not to be written to.

    Raises BadInputError where `name` is not one of the lists above.
    """
    known = [photograph.name for photograph in TRAINING + HELD_OUT]
    if name not in known:
        raise BadInputError(f"no photograph is called {name!r}; there are: {', '.join(known)}")
    pixels = _pixels(name)
    colour = np.ascontiguousarray(
        pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    )
    colour.setflags(write=False)
    return colour


def _pixels(name: str) -> np.ndarray:
    """From the packed file where one is named, else from scikit-image."""
    if os.environ.get(PACKED):
        with np.load(os.environ[PACKED]) as packed:
            return packed[name]
    import skimage.data

    return np.asarray(getattr(skimage.data, name)())


def pack_photographs(file: Path) -> Path:
    """Write the training photographs into one file (NumPy's npz, compressed) that travels to
    another machine.
    """
    pictures: dict[str, Any] = {each.name: _pixels(each.name) for each in TRAINING}
    np.savez_compressed(file, **pictures)
    return file


def photograph_canvas(
    name: str, width: int, height: int, random: np.random.Generator
) -> np.ndarray:
    """A part of the photograph, cut, turned over and coloured at random:
    (height, width, 3) uint8.
    """
    pixels = load_training_photograph(name)
    largest = min(pixels.shape[1] / width, pixels.shape[0] / height)
    zoom = largest * random.uniform(0.55, 1.0)
    cut_width, cut_height = max(8, int(width * zoom)), max(8, int(height * zoom))
    left = int(random.integers(0, pixels.shape[1] - cut_width + 1))
    top = int(random.integers(0, pixels.shape[0] - cut_height + 1))
    cut = pixels[top : top + cut_height, left : left + cut_width]
    method = cv2.INTER_AREA if zoom > 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(cut, (width, height), interpolation=method)
    if random.random() < 0.5:
        canvas = canvas[:, ::-1]
    return recolour(canvas, random)


def recolour(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Other contrast, brightness and tint, and sometimes swapped channels: (H, W, 3) uint8 to the
    same.
    """
    table = np.arange(256) / 255.0
    gamma, contrast, lift = (
        random.uniform(0.6, 1.6),
        random.uniform(0.6, 1.15),
        random.normal(0, 0.06),
    )
    curve = (table**gamma - 0.5) * contrast + 0.5 + lift
    channels = random.permutation(3) if random.random() < 0.5 else np.arange(3)
    tinted = [np.clip(curve + random.normal(0, 0.05) * (1 - table), 0, 1) * 255 for _ in range(3)]
    lookup = np.stack(tinted, axis=1).astype(np.uint8)
    return np.stack([lookup[pixels[..., channels[i]], i] for i in range(3)], axis=2)
