"""Where shots begin: so that no window of frames crosses a cut."""

import cv2
import numpy as np

from src.motion.cuts import histogram_distance

WIDTH = 160
SURE, LIKELY = 0.5, 0.18
"""Histogram distances: a cut for sure, and a pair worth a look along the flow."""


def small_grey(array: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 as a grey thumbnail of at most 160 columns, uint8."""
    step = max(1, array.shape[1] // WIDTH)
    thumb = array[::step, ::step]
    thumb = (
        (thumb >> 8).astype(np.uint8) if thumb.dtype == np.uint16 else np.ascontiguousarray(thumb)
    )
    return cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY)


def is_new_shot(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether a cut lies between two thumbnails of one size.

    Most pairs are settled by their histograms or by how little they differ; the others are compared
    along the optical flow: a camera's move leaves a small difference, a cut a large one.
    """
    contrast = max(8.0, float(np.abs(now - now.mean()).mean()))
    change = float(cv2.absdiff(before, now).mean())
    if change < 0.25 * contrast:
        return False
    distance = histogram_distance(before, now)
    if distance > SURE and change > 0.5 * contrast:
        return True
    return (distance > LIKELY or change > 0.6 * contrast) and _unexplained(
        before, now
    ) > 0.4 * contrast


def _unexplained(before: np.ndarray, now: np.ndarray) -> float:
    """Mean difference along the flow, grey levels; without a flow (too small a picture) the plain
    difference.
    """
    if min(now.shape) < 32:
        return float(cv2.absdiff(before, now).mean())
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(now, before, None)
    rows, columns = np.mgrid[0 : now.shape[0], 0 : now.shape[1]].astype(np.float32)
    moved = cv2.remap(
        before,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return float(cv2.absdiff(now, moved).mean())
