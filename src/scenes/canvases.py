"""Dead-leaves canvases: opaque shapes dropped on one another, with the statistics of photographs.

Sizes follow the power law r^-3, which gives scale-invariant occlusion and a 1/f^2 spectrum, as in
natural pictures (Lee, Mumford and Huang, 2001, "Occlusion models for natural images"). Shapes carry
textures, shading and text-like strokes; a soft light lies over the whole.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

LETTERS = "AEIORSTNLMPDCBVG0123456789"
TILE = 256


@lru_cache(maxsize=1)
def texture_tiles() -> np.ndarray:
    """Twelve noise textures that repeat without a seam: (12, 512, 512) float32, mean 0, deviation
    1.

    Spectra fall as 1/f^a with a from 0.5 (fine) to 2 (cloudy); half are stretched along one axis.
    """
    random = np.random.default_rng(20)
    tiles = []
    for index, exponent in enumerate(np.linspace(0.5, 2.0, 12)):
        rows, columns = np.fft.fftfreq(TILE)[:, None], np.fft.fftfreq(TILE)[None, :]
        stretch = 4.0 if index % 2 else 1.0
        radius = np.hypot(rows, columns * stretch)
        radius[0, 0] = 1.0
        spectrum = np.fft.fft2(random.normal(size=(TILE, TILE))) / radius**exponent
        spectrum[0, 0] = 0.0
        tile = np.real(np.fft.ifft2(spectrum))
        tile /= tile.std()
        tiles.append(np.tile(tile.T if index % 4 == 3 else tile, (2, 2)))
    return np.stack(tiles).astype(np.float32)


def texture(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A random cut of a random texture: (height, width) float32."""
    tiles = texture_tiles()
    tile = tiles[random.integers(len(tiles))]
    height_in, width_in = min(height, TILE), min(width, TILE)
    top, left = random.integers(0, TILE, 2)
    cut = tile[top : top + height_in, left : left + width_in]
    return cut if (height_in, width_in) == (height, width) else cv2.resize(cut, (width, height))


def palette(random: np.random.Generator) -> np.ndarray:
    """A few colours that go together: (6, 3) float32 in 0..255, mostly muted,
    from dark to light.
    """
    hue = (random.uniform(0, 180) + random.normal(0, 30, 6)) % 180
    hue[random.random(6) < 0.2] = random.uniform(0, 180)
    saturation = 255 * random.beta(1.3, 2.5, 6)
    value = 255 * random.beta(1.6, 1.4, 6)
    colours = np.stack([hue, saturation, value], axis=1).astype(np.uint8)[None]
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)[0].astype(np.float32)


def power_law_radius(
    random: np.random.Generator, smallest: float, largest: float, count: int
) -> np.ndarray:
    """Radii with density proportional to r^-3 between the two ends: (count,) float64."""
    inverse = random.uniform(largest**-2, smallest**-2, count)
    return np.sort(inverse**-0.5)[::-1] if random.random() < 0.5 else inverse**-0.5


def shape_mask(radius: int, random: np.random.Generator) -> np.ndarray:
    """The outline of one shape, smooth at its edge: (2r + 3, 2r + 3) uint8, 0 outside and 255
    inside.
    """
    side = 2 * radius + 3
    mask = np.zeros((side, side), np.uint8)
    middle = radius + 1
    kind = int(random.integers(4))
    if kind == 0:
        cv2.circle(mask, (middle, middle), radius, 255, -1, cv2.LINE_AA)
    elif kind == 1:
        axes = (radius, max(1, int(radius * random.uniform(0.3, 1))))
        cv2.ellipse(
            mask, (middle, middle), axes, random.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA
        )
    else:
        turn = 0.0 if kind == 2 and random.random() < 0.6 else random.uniform(0, 360)
        cv2.fillPoly(
            mask, [_corners(kind, radius, middle, np.deg2rad(turn), random)], 255, cv2.LINE_AA
        )
    return mask


def _corners(
    kind: int, radius: int, middle: int, turn: float, random: np.random.Generator
) -> np.ndarray:
    """Corners of a rectangle (kind 2) or of an irregular polygon (kind 3): (n, 2) int32."""
    if kind == 2:
        half = random.uniform(0.15, 1.4)
        angles = turn + np.array([half, np.pi - half, np.pi + half, -half])
        reach = np.full(4, float(radius))
    else:
        count = int(random.integers(3, 9))
        angles = turn + np.sort(random.uniform(0, 2 * np.pi, count))
        reach = radius * random.uniform(0.5, 1.0, count)
    return np.stack([middle + reach * np.cos(angles), middle + reach * np.sin(angles)], 1).astype(
        np.int32
    )


def fill(height: int, width: int, colour: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A surface of one colour with shading, texture or stripes: (height, width, 3) float32."""
    shading = np.zeros((height, width), np.float32)
    if random.random() < 0.6:
        slope = random.normal(0, 22, 2)
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        shading = shading + slope[0] * rows + slope[1] * np.linspace(-1, 1, width, dtype=np.float32)
    if random.random() < 0.7:
        shading = shading + abs(random.normal(0, 16)) * texture(height, width, random)
    elif random.random() < 0.4:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        turn, period = random.uniform(0, np.pi), random.uniform(4, 30)
        phase = (rows * np.sin(turn) + columns * np.cos(turn)) * (2 * np.pi / period)
        shading = shading + random.uniform(5, 40) * np.sin(phase)
    tint = 1 + random.normal(0, 0.15, 3)
    return colour + shading[..., None] * tint.astype(np.float32)


def paint_shape(
    canvas: np.ndarray, radius: int, colour: np.ndarray, random: np.random.Generator
) -> None:
    """Drop one shape on the (H, W, 3) float32 canvas, in place."""
    mask = shape_mask(radius, random)
    side = mask.shape[0]
    left = int(random.integers(-radius, canvas.shape[1] + radius)) - radius
    top = int(random.integers(-radius, canvas.shape[0] + radius)) - radius
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(canvas.shape[1], left + side), min(canvas.shape[0], top + side)
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32) / 255
    target = canvas[y0:y1, x0:x1]
    target += alpha * (fill(y1 - y0, x1 - x0, colour, random) - target)


def strokes(canvas: np.ndarray, colours: np.ndarray, random: np.random.Generator) -> None:
    """Words and thin lines, as signs, captions and wires show them, in place on (H, W, 3) uint8."""
    for _ in range(int(random.integers(0, 7))):
        colour = tuple(float(part) for part in colours[random.integers(len(colours))])
        at = (int(random.integers(0, canvas.shape[1])), int(random.integers(0, canvas.shape[0])))
        thickness = int(random.integers(1, 4))
        if random.random() < 0.6:
            word = "".join(random.choice(list(LETTERS), int(random.integers(2, 9))))
            size = float(random.uniform(0.4, 2.2))
            cv2.putText(
                canvas, word, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA
            )
        else:
            end = (
                int(random.integers(0, canvas.shape[1])),
                int(random.integers(0, canvas.shape[0])),
            )
            cv2.line(canvas, at, end, colour, thickness, cv2.LINE_AA)


def dead_leaves(width: int, height: int, random: np.random.Generator) -> np.ndarray:
    """One canvas of shapes under a soft light: (height, width, 3) uint8 RGB."""
    colours = palette(random)
    canvas = fill(height, width, colours[0], random)
    count = int(random.integers(60, 420))
    smallest, largest = random.uniform(5, 16), random.uniform(0.2, 0.55) * height
    ground = random.uniform(0.15, 0.5, int(random.integers(4, 16))) * height
    for radius in (*ground, *power_law_radius(random, smallest, largest, count)):
        colour = colours[random.integers(len(colours))] + random.normal(0, 14, 3).astype(np.float32)
        paint_shape(canvas, int(radius), colour, random)
    written = np.clip(canvas, 0, 255).astype(np.uint8)  # OpenCV writes words on 8 bits only
    strokes(written, colours, random)
    canvas = written.astype(np.float32)
    canvas *= soft_light(height, width, random)[..., None]
    blur = random.uniform(0.4, 0.9)
    canvas = cv2.GaussianBlur(canvas, (0, 0), blur)
    canvas += texture(height, width, random)[..., None] * abs(random.normal(0, 2.0))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def soft_light(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A factor on brightness that changes slowly over the picture: (height, width) float32 around
    1.
    """
    coarse = 1 + random.normal(0, 0.18, (4, 5)).astype(np.float32)
    return cv2.resize(np.clip(coarse, 0.5, 1.4), (width, height), interpolation=cv2.INTER_CUBIC)
