"""The figures of one clip against the photograph it was made from."""

from dataclasses import dataclass

import numpy as np

from src.metrics.measured_move import measure
from src.metrics.psnr import psnr
from src.metrics.temporal import score_frames


@dataclass(frozen=True)
class Figures:
    """temporal_score: 0 to 100. first_frame: PSNR against the photograph, dB. amount: mean length
    of the flow, pixels a frame. move: as named by its largest part.
    """

    temporal_score: float
    first_frame: float
    amount: float
    move: str


def figures_of(frames: np.ndarray, photograph: np.ndarray, fps: float) -> Figures:
    """Of frames (F, H, W, 3) uint8 made from photograph (H, W, 3), at their own size."""
    motion = measure(frames)
    height, width = frames.shape[1:3]
    return Figures(
        temporal_score=score_frames(frames, (width, height), rate=fps).score,
        first_frame=psnr(frames[0], photograph),
        amount=motion.mean_flow,
        move=motion.name,
    )
