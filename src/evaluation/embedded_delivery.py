"""How true the embedded model's frames are once they are enlarged to the delivered size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from src.core.plan import Size
from src.evaluation.upscaling_measures import tof
from src.media.images import fit_photograph
from src.metrics.psnr import psnr
from src.metrics.sharpness import sharpness, structure
from src.motion.tvl1 import flow_backend
from src.recipes.decoded import encoded_and_decoded
from src.scenes.moves import named_move
from src.scenes.scene import Layer, Scene
from src.upscaling.clips import make_upscaler

TO_DELIVERED = 3
"""From 240x160 to 720x480."""
WAYS = ("lanczos", "fast", "nano")
CELL = 8
"""Pixels of the model's frames that widths and heights are multiples of."""
FRAMES = 3
WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class Delivered:
    """Frames enlarged in one way, against the true ones.

    psnr: dB. structure: SSIM. sharp: share of the true frames' sharpness. flicker: tOF, in tenths
    of a pixel (`upscaling_measures.tof`).
    """

    psnr: float
    structure: float
    sharp: float
    flicker: float


def delivered(vae: Any, photograph: np.ndarray, width: int, height: int) -> dict[str, Delivered]:
    """A slow pan over the photograph (H, W, 3) uint8, made as small as the model's clips, encoded
    and decoded by its VAE, and enlarged again: by each of `WAYS`.

    width, height: of the model's clips. Of a photograph that is smaller than the delivered size a
    smaller clip is made: an enlarged one is no truth to hold others against.
    """
    truth = _pan(_middle(photograph, width, height))
    size = Size(width=truth.shape[2], height=truth.shape[1])
    native = [side // TO_DELIVERED for side in (size.width, size.height)]
    small = [fit_photograph(frame, *native, "cover") for frame in truth]
    decoded, motion = encoded_and_decoded(vae, np.stack(small)), _motion(truth)
    made = {way: np.stack([*make_upscaler(way).upscale(decoded, size)]) for way in WAYS}
    return {way: _figures(clip, truth, motion) for way, clip in made.items()}


def _middle(photograph: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of the photograph, pixel for pixel: as large as the delivered clip, or as whole
    latent cells of it fit.
    """
    sides = zip((height, width), photograph.shape[:2], strict=True)
    down, across = (
        TO_DELIVERED * min(native, there // TO_DELIVERED // CELL * CELL) for native, there in sides
    )
    top, left = (photograph.shape[0] - down) // 2, (photograph.shape[1] - across) // 2
    return photograph[top : top + down, left : left + across]


def _pan(photograph: np.ndarray) -> np.ndarray:
    height, width = photograph.shape[:2]
    layers = (Layer(photograph, WHOLE),)
    return Scene(layers, named_move("pan left", "slow"), width, height, FRAMES).frames()


def _figures(clip: np.ndarray, truth: np.ndarray, motion: np.ndarray) -> Delivered:
    pairs = list(zip(clip, truth, strict=True))
    return Delivered(
        psnr(clip, truth),
        float(np.mean([structure(one, other) for one, other in pairs])),
        float(np.mean([sharpness(one) / sharpness(other) for one, other in pairs])),
        tof(_motion(clip), motion),
    )


def _motion(clip: np.ndarray) -> np.ndarray:
    """TV-L1 from each frame to the one before it, (F - 1, H, W, 2)."""
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip])
    return flow_backend("auto").flow(grey[1:], grey[:-1])
