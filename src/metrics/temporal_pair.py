"""What the temporal score takes from one pair of frames; everything here is at the analysis size.

The analysis size has the clip's proportions and the area of 360x240, so that a clip scores the same
at any resolution. Lengths are in frame diagonals, which makes them comparable between proportions.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from src.core.errors import BadInputError
from src.motion.cuts import histogram_distance, is_cut
from src.motion.tvl1 import FlowBackend
from src.motion.tvl1_params import SMALLEST_LEVEL
from src.motion.warp import inside_mask, visible, warp

ANALYSIS_AREA = 360 * 240
BLOCK = 15
"""Side of a block in analysis pixels: 24x16 blocks on 3:2."""

DUPLICATE_MEAN, DUPLICATE_BLOCK = 0.4, 1.5
"""Grey levels of mean difference, over the frame and in the worst block, under which a pair is a
duplicate.
"""

FLAT = 4
"""Levels (of 255) that the pixels of one colour may differ by: what coding leaves of a plain
ground.
"""

UNEXPLAINED_ERROR = 10.0
"""Grey levels of difference along the flow above which a pixel without a trusted flow counts as
unexplained.
"""


@dataclass(frozen=True)
class PairMeasures:
    """One pair of neighbouring frames.

    velocity: (R, C, 2) float32, block means of the flow, diagonals a frame. magnitude: (R, C), of
    its length.
    Both are means over the pixels whose forward and backward flow agree, since elsewhere (a clear
    sky, a covered background) the flow is arbitrary; trusted: (R, C) in [0, 1], their share in the
    block.
    unexplained: share of pixels that stay in the frame, where the flows disagree and the pictures
    do too, so that something appeared, vanished or broke.
    warping_error: mean |first - warped second| where visible, grey levels. noise: the same error in
    the calmest quarter of the blocks. visible: share of pixels not occluded. brightness: log of the
    ratio of mean brightness along the flow. difference: mean |first - second|. fastest: mean of the
    top 5 % of flow, diagonals.
    """

    velocity: np.ndarray
    magnitude: np.ndarray
    trusted: np.ndarray
    unexplained: float
    warping_error: float
    noise: float
    visible: float
    brightness: float
    difference: float
    histogram: float
    fastest: float
    duplicate: bool
    cut: bool


def analysis_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the analysis picture: the area of 360x240, the proportions of the clip.

    Raises BadInputError for an empty picture.
    """
    if width < 1 or height < 1:
        raise BadInputError(f"a frame of {width}x{height} pixels has no content to score")
    side = max(2 * SMALLEST_LEVEL, round((ANALYSIS_AREA * width / height) ** 0.5))
    return side, max(2 * SMALLEST_LEVEL, round(ANALYSIS_AREA / side))


def analysis_picture(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) or (H, W) uint8 or uint16 RGB -> (h, w) uint8 grey at `size` = (w, h)."""
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    elif frame.dtype != np.uint8:
        raise BadInputError(f"frames to score are uint8 or uint16, not {frame.dtype}")
    shrinks = frame.shape[1] * frame.shape[0] >= size[0] * size[1]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def is_flat(frame: np.ndarray) -> bool:
    """Whether a frame (H, W, 3) uint8 or uint16 is one colour, up to FLAT levels of coding noise in
    each channel.
    """
    levels = FLAT * (257 if frame.dtype == np.uint16 else 1)
    return bool(
        (
            np.ptp(frame.reshape(-1, frame.shape[-1] if frame.ndim == 3 else 1), axis=0) <= levels
        ).all()
    )


def blocks(values: np.ndarray) -> np.ndarray:
    """Means over blocks of about 15x15 pixels: (H, W) or (H, W, C) float32 -> (R, C) or (R, C,
    ...).
    """
    height, width = values.shape[:2]
    grid = (max(2, round(width / BLOCK)), max(2, round(height / BLOCK)))
    return cv2.resize(values, grid, interpolation=cv2.INTER_AREA)


def block_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean |difference| in the block where it is largest, grey levels, of two (h, w) uint8
    pictures.
    """
    return float(blocks(cv2.absdiff(first, second).astype(np.float32)).max())


def measure_pairs(
    first: np.ndarray, second: np.ndarray, backend: FlowBackend
) -> list[PairMeasures]:
    """(N, h, w) uint8 grey, twice -> N measures. The backward flow only marks occlusion: half size
    is enough.
    """
    forward = backend.flow(first, second)
    halves = [np.stack([cv2.resize(x, None, fx=0.5, fy=0.5,
                                   interpolation=cv2.INTER_AREA) for x in stack])
              for stack in (second, first)]  # fmt: skip
    backward = backend.flow(*halves)
    return [
        _measure(a, b, f, w) for a, b, f, w in zip(first, second, forward, backward, strict=True)
    ]


def _measure(
    first: np.ndarray, second: np.ndarray, flow: np.ndarray, half_backward: np.ndarray
) -> PairMeasures:
    height, width = first.shape
    diagonal = float(np.hypot(height, width))
    backward = cv2.resize(half_backward, (width, height), interpolation=cv2.INTER_LINEAR) * 2
    seen = visible(flow, backward)
    a, warped = first.astype(np.float32), warp(second, flow).astype(np.float32)
    error, difference = np.abs(a - warped), np.abs(a - second.astype(np.float32))
    length = np.linalg.norm(flow, axis=-1)
    counted = seen.astype(np.float32)
    trusted = blocks(counted)
    scale = np.float32(diagonal) * np.maximum(trusted, np.float32(1e-3))
    coarse = cv2.blur(error, (5, 5))
    chosen = seen if seen.mean() > 0.05 else np.ones_like(seen)
    share = float(seen.mean())
    return PairMeasures(
        velocity=blocks(flow * counted[..., None]) / scale[..., None],
        magnitude=blocks(length * counted) / scale,
        trusted=trusted,
        unexplained=float((inside_mask(flow) & ~seen & (coarse > UNEXPLAINED_ERROR)).mean()),
        warping_error=float(error[chosen].mean()),
        noise=float(np.quantile(blocks(error), 0.25)),
        visible=share,
        brightness=float(np.log((warped[chosen].mean() + 8) / (a[chosen].mean() + 8))),
        difference=float(difference.mean()),
        histogram=histogram_distance(first, second),
        fastest=_top(length, 0.05) / diagonal,
        duplicate=bool(
            difference.mean() < DUPLICATE_MEAN and block_difference(first, second) < DUPLICATE_BLOCK
        ),
        cut=is_cut(first, float(error.mean()), share),
    )


def _top(values: np.ndarray, share: float) -> float:
    """Mean of the largest `share` of the values."""
    flat = values.ravel()
    count = max(1, int(flat.size * share))
    return float(np.partition(flat, flat.size - count)[-count:].mean())
