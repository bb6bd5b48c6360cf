"""Warping a picture back along a flow, and the pixels where that cannot work."""

import cv2
import numpy as np


def _positions(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the first picture lies in the second: x and y maps (H, W) float32."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x + flow[..., 0], y + flow[..., 1]


def warp(second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """second (H, W) or (H, W, C) brought back to the first picture's place: out(x) = second(x +
    flow(x)).

    Bicubic; outside the picture the border pixel is repeated. Keeps the dtype.
    """
    return cv2.remap(second, *_positions(flow), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def inside_mask(flow: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the first picture that the flow keeps within the frame."""
    x, y = _positions(flow)
    return (x >= 0) & (x <= flow.shape[1] - 1) & (y >= 0) & (y <= flow.shape[0] - 1)


def visible(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the first picture that the second still shows.

    A pixel is occluded where forward and backward flow (H, W, 2) do not cancel: |F + W(B)|^2 >=
    0.01 (|F|^2 + |W(B)|^2) + 0.5 (Sundaram, Brox, Keutzer, "Dense point trajectories", ECCV 2010),
    or where it left the frame.
    """
    x, y = _positions(forward)
    returned = cv2.remap(backward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mismatch = np.square(forward + returned).sum(-1)
    length = np.square(forward).sum(-1) + np.square(returned).sum(-1)
    return inside_mask(forward) & (mismatch < 0.01 * length + 0.5)
