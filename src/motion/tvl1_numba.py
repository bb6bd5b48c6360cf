"""Dual TV-L1 on the CPU with compiled, fused loops."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from src.core.devices import core_count
from src.core.errors import BadInputError
from src.motion.tvl1_kernel import solve_level
from src.motion.tvl1_params import TVL1Params, check_pairs, level_sizes

_f = np.float32


class NumbaFlow:
    """Pairs are spread over the cores, one thread each; the kernel itself is single-threaded and
    re-entrant.
    """

    name = "numba"
    batch = 1

    def __init__(self, params: TVL1Params) -> None:
        if params.median > 1:
            raise BadInputError(
                "the numba backend has no median filter between iterations; set median to 1"
            )
        self.params = params
        self.workers = core_count()

    def flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See FlowBackend.flow."""
        check_pairs(first, second)
        if len(first) == 1 or self.workers == 1:
            return np.stack([self._pair(a, b) for a, b in zip(first, second, strict=True)])
        with ThreadPoolExecutor(self.workers) as pool:
            return np.stack(list(pool.map(self._pair, first, second)))

    def _pyramid(self, image: np.ndarray) -> list[np.ndarray]:
        """Levels (H, W) float32, finest first; half-pixel bilinear without antialiasing, as OpenCV
        makes them.
        """
        levels: list[np.ndarray] = [image.astype(np.float32, order="C")]
        for _ in level_sizes(image.shape[0], image.shape[1], self.params)[1:]:
            step = self.params.scale_step
            levels.append(
                cv2.resize(levels[-1], None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
            )
        return levels

    def _pair(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(H, W) uint8, twice -> (H, W, 2) float32, from the coarsest level to the finest."""
        p = self.params
        pyramids = [list(reversed(self._pyramid(image))) for image in (first, second)]
        u1, u2 = np.zeros_like(pyramids[0][0]), np.zeros_like(pyramids[0][0])
        for level, (I0, I1) in enumerate(zip(*pyramids, strict=True)):
            H, W = I0.shape
            if level:
                u1, u2 = (cv2.resize(u, (W, H)) / _f(p.scale_step) for u in (u1, u2))
            l_t, taut = _f(p.smoothness * p.theta), _f(p.tau / p.theta)
            threshold = _f(p.epsilon**2 * H * W)
            solve_level(
                I0, I1, u1, u2, l_t, _f(p.theta), taut, p.warps, p.outer * p.inner, threshold
            )
        return np.stack([u1, u2], axis=-1)
