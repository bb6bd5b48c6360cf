"""Detail that follows the motion: a recursive blend of what the network adds, along the optical
flow.

    r'_t = r_t + M a (W(r'_{t-1}) - r_t)

r is the network's frame less the enlarged source, W brings the last blended one along the flow
between the sources, a is the strength, and M is 0 where the flow cannot be trusted. Low frequencies
are never blended, since r has none.
"""

import cv2
import numpy as np

from src.motion.warp import visible
from src.upscaling.enhance import enlarge

TOLERANCE = 4.0
"""Grey levels of difference along the flow at which trust has fallen to a third."""
SMALLEST = 32
"""Frames with a shorter side have no flow, and are left as they are."""


def too_small_for_flow(strength: float, width: int, height: int) -> list[str]:
    """What is told of frames of a source of this size, where their detail is to follow the motion
    and cannot.
    """
    if not strength or min(width, height) >= SMALLEST:
        return []
    return [
        f"detail does not follow the motion (--steady, --refine): frames of {width}x{height} are "
        f"too small for optical flow, which needs {SMALLEST} pixels a side"
    ]


class TemporalSmoother:
    """The blend over the frames of a video. strength: a, 0 to 1."""

    def __init__(self, strength: float, scale: int) -> None:
        self.strength, self.scale = strength, scale
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._grey: np.ndarray | None = None
        self._detail: np.ndarray | None = None

    def reset(self) -> None:
        """Forget the last frame, at a cut."""
        self._grey = self._detail = None

    def state(self) -> dict[str, np.ndarray]:
        """What the next frame depends on, to go on from in another process."""
        return {} if self._grey is None else {"grey": self._grey, "detail": self._detail}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._grey, self._detail = state.get("grey"), state.get("detail")

    def __call__(self, made: np.ndarray, source: np.ndarray) -> np.ndarray:
        """made: (sH, sW, 3), source: (H, W, 3), float32 in [0, 1]; gives the blended frame."""
        if not self.strength or min(source.shape[:2]) < SMALLEST:
            return made
        grey = cv2.cvtColor(np.clip(source * 255, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        base = enlarge(source, self.scale)
        detail = made - base
        if self._grey is not None and self._grey.shape == grey.shape:
            detail += self._pull(grey, detail)
        self._grey, self._detail = grey, detail
        return base + detail

    def _pull(self, grey: np.ndarray, detail: np.ndarray) -> np.ndarray:
        """M a (W(r'_{t-1}) - r_t)."""
        back = self._flow.calc(grey, self._grey, None)
        forth = self._flow.calc(self._grey, grey, None)
        trust = (
            self.strength * visible(back, forth) * np.exp(-self._mismatch(grey, back) / TOLERANCE)
        )
        size = detail.shape[1::-1]
        large = cv2.resize(back, size) * self.scale
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
        moved = cv2.remap(
            self._detail, columns + large[..., 0], rows + large[..., 1], cv2.INTER_CUBIC
        )
        return cv2.resize(trust.astype(np.float32), size)[..., None] * (moved - detail)

    def _mismatch(self, grey: np.ndarray, back: np.ndarray) -> np.ndarray:
        """Blurred absolute difference of the sources along the flow: (H, W) float32 grey levels."""
        height, width = grey.shape
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        moved = cv2.remap(self._grey, columns + back[..., 0], rows + back[..., 1], cv2.INTER_LINEAR)
        return cv2.GaussianBlur(cv2.absdiff(grey, moved).astype(np.float32), (0, 0), 1.5)
