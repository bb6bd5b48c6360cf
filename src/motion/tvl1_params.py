"""What every backend of the optical flow shares: the parameters, the check of its input, the
pyramid's sizes.
"""

from dataclasses import dataclass

import numpy as np

from src.core.errors import BadInputError

SMALLEST_LEVEL = 16
"""A pyramid level with a shorter side than this is not used, as in OpenCV."""


@dataclass(frozen=True)
class TVL1Params:
    """OpenCV's defaults, except where a field says otherwise.

    tau: step of the dual ascent. smoothness: lambda, weight of the data term. theta: coupling of
    the two steps. scales: pyramid levels at most; OpenCV's 5 lose motion beyond about 8 pixels a
    frame, 10 follow 30 and cost less, because the coarse levels start the fine ones near their end.
    scale_step: size of a level against the one below it. warps: linearisations a level.
    epsilon: a pair is finished on a level when the root mean square update falls under this many
    pixels.
    outer, inner: iterations at most, outer x inner a warp.
    median: side of OpenCV's median filter between outer iterations; 1 (none) moves the flow by
    about 0.005 px and saves a third of the time.
    """

    tau: float = 0.25
    smoothness: float = 0.15
    theta: float = 0.3
    scales: int = 10
    scale_step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    outer: int = 10
    inner: int = 30
    median: int = 1


def check_pairs(first: np.ndarray, second: np.ndarray) -> None:
    """Raise BadInputError unless both are (N, H, W) uint8 of one shape with at least 16 pixels a
    side.
    """
    if (
        first.shape != second.shape
        or first.ndim != 3
        or first.dtype != np.uint8
        or second.dtype != np.uint8
    ):
        raise BadInputError(
            f"optical flow needs two (N, H, W) uint8 stacks of one shape, not {first.dtype} "
            f"{first.shape} "
            f"and {second.dtype} {second.shape}"
        )
    if min(first.shape[1:]) < SMALLEST_LEVEL:
        raise BadInputError(
            f"optical flow needs pictures of at least 16x16, not {first.shape[2]}x{first.shape[1]}"
        )


def level_sizes(height: int, width: int, params: TVL1Params) -> list[tuple[int, int]]:
    """Sizes (H, W) of the pyramid, finest first: each is the rounded scale_step of the
    one before.
    """
    sizes = [(height, width)]
    while len(sizes) < params.scales:
        height, width = sizes[-1]
        smaller = round(height * params.scale_step), round(width * params.scale_step)
        if min(smaller) < SMALLEST_LEVEL:
            break
        sizes.append(smaller)
    return sizes
