"""How evenly a clip moves from frame to frame."""

from __future__ import annotations

import cv2
import numpy as np

from src.motion.tvl1 import flow_backend

MARGIN = 8
"""Pixels at each edge, where the flow does not know what comes in."""


def unevenness(frames: np.ndarray) -> float:
    """Mean length of the change of flow from one pair of frames to the next, over the flow's own
    mean length.

    frames: (F, H, W, 3) uint8, F at least 3. 0 for a camera that moves evenly; about 1.4 for motion
    at random.
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    flow = flow_backend().flow(grey[:-1], grey[1:])[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    change = np.linalg.norm(np.diff(flow, axis=0), axis=-1).mean()
    return float(change / max(np.linalg.norm(flow, axis=-1).mean(), 1e-6))
