"""How near an enlarged clip is to the true one, how sharp, and how it flickers: the figures, and a
row of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from loguru import logger

from src.core.upscale_request import EnhanceSettings
from src.motion.tvl1 import flow_backend
from src.motion.warp import visible, warp
from src.recipes.upscaler.degrade import shrink
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.registry import load_backend
from src.upscaling.smoothing import TemporalSmoother

PRESETS = ("fast", "balanced", "quality")


@dataclass(frozen=True)
class UpscalingRow:
    """One picture or clip at one scale by one way. Flicker figures are None for a still picture.

    tof: against the true clip. warping, sharpness: as shares of the true clip's own.
    """

    item: str
    shared: bool
    scale: int
    way: str
    psnr: float
    ssim: float
    sharpness: float
    tof: float | None = None
    warping: float | None = None


def luma(picture: np.ndarray) -> np.ndarray:
    """BT.601 luma of (H, W, 3) uint8, float64 in [16, 235]: what papers on super-resolution measure
    on.
    """
    r, g, b = np.moveaxis(picture.astype(np.float64), -1, 0)
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def psnr_y(made: np.ndarray, truth: np.ndarray, border: int) -> float:
    """PSNR of the luma in dB, without `border` pixels at each side."""
    inner = slice(border, -border)
    error = np.square(luma(made)[inner, inner] - luma(truth)[inner, inner]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def ssim_y(made: np.ndarray, truth: np.ndarray, border: int) -> float:
    """SSIM of the luma with the Gaussian window of Wang et al., IEEE TIP 2004."""
    from skimage.metrics import structural_similarity

    inner = slice(border, -border)
    return float(structural_similarity(
        luma(made)[inner, inner], luma(truth)[inner, inner], data_range=255, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False,
    ))  # fmt: skip


def clip_sharpness(clip: np.ndarray) -> float:
    """Mean gradient of the luma, grey levels a pixel."""
    grey = [luma(frame) for frame in clip]
    return float(np.mean([np.hypot(*np.gradient(one)).mean() for one in grey]))


def flows(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """TV-L1 from each frame to the one before it, and back: two (F - 1, H, W, 2)."""
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip])
    backend = flow_backend("auto")
    return backend.flow(grey[1:], grey[:-1]), backend.flow(grey[:-1], grey[1:])


def warping_error(clip: np.ndarray, back: np.ndarray, forth: np.ndarray) -> float:
    """Mean |x_t - W(x_{t-1})| along the true clip's flow where nothing is hidden, grey levels of
    luma.
    """
    errors = []
    for t in range(1, len(clip)):
        moved = warp(luma(clip[t - 1]).astype(np.float32), back[t - 1])
        seen = visible(back[t - 1], forth[t - 1])
        errors.append(np.abs(luma(clip[t]) - moved)[seen].mean())
    return float(np.mean(errors))


def tof(clip_flow: np.ndarray, true_flow: np.ndarray) -> float:
    """Mean |OF(x) - OF(y)| in pixels (Chu et al., "TecoGAN", ACM TOG 2020), times 10 as there."""
    return float(10 * np.abs(clip_flow - true_flow).mean())


def enlarge_frames(
    low: np.ndarray, preset: str, scale: int, asked: EnhanceSettings | None = None
) -> np.ndarray:
    """(F, h, w, 3) uint8 through a preset's network, as `src.upscale_video` does it."""
    asked = asked or EnhanceSettings()
    backend, smoother = (
        load_backend(UpscalerChoice(preset, scale)),
        TemporalSmoother(asked.steady, scale),
    )
    out = []
    made = enlarged(backend, Stretch(low), asked, UpscaleRun())
    for frame, large in zip(low, made, strict=True):
        source = frame.astype(np.float32) * np.float32(1 / 255)
        out.append(_bytes(backend.finish(smoother(large, source), source, asked)))
    return np.stack(out)


def bicubic_clip(low: np.ndarray, scale: int) -> np.ndarray:
    """The yardstick: Pillow's bicubic (a = -0.5), the inverse of how the test pictures
    are shrunk.
    """
    from PIL import Image

    size = (low.shape[2] * scale, low.shape[1] * scale)
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in low]
    )


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def measure_ways(name: str, truth: np.ndarray, shared: bool, scale: int) -> list[UpscalingRow]:
    """Bicubic and each preset against the truth."""
    low = shrink(truth, scale)
    ways = {"bicubic": bicubic_clip(low, scale)} | {
        p: enlarge_frames(low, p, scale) for p in PRESETS
    }
    true_flows, true_sharpness = (flows(truth) if len(truth) > 1 else None), clip_sharpness(truth)
    rows = []
    for way, made in ways.items():
        near = [
            (psnr_y(a, b, scale), ssim_y(a, b, scale)) for a, b in zip(made, truth, strict=True)
        ]
        row = UpscalingRow(
            name, shared, scale, way, mean(n[0] for n in near), mean(n[1] for n in near),
            clip_sharpness(made) / true_sharpness, *_flicker(made, truth, true_flows),
        )  # fmt: skip
        logger.info(f"{name} {scale}x {way}: {row.psnr:.2f} dB, SSIM {row.ssim:.4f}")
        rows.append(row)
    return rows


def _flicker(
    made: np.ndarray, truth: np.ndarray, true_flows: tuple[np.ndarray, np.ndarray] | None
) -> tuple[float | None, float | None]:
    if true_flows is None:
        return None, None
    own = warping_error(truth, *true_flows)
    return tof(flows(made)[0], true_flows[0]), warping_error(made, *true_flows) / own
