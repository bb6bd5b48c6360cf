"""From a high-resolution clip to what a camera and a codec would have left of it at low
resolution.
"""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
from PIL import Image

from src.media.encoders import ENCODERS, encoder_options
from src.recipes.upscaler.settings import Degradation

KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
}
NOISE_FULL = 12.0
"""Grey levels of noise that the condition 1 stands for."""
QUALITY_NONE, QUALITY_FULL = 100.0, 30.0
"""JPEG quality that the block condition 0 and 1 stand for; H.264's CRF is translated to it."""


def shrink(clip: np.ndarray, scale: int, kernel: str = "bicubic") -> np.ndarray:
    """(T, H, W, 3) uint8 to (T, H / scale, W / scale, 3), antialiased (Pillow; bicubic with a =
    -0.5).
    """
    height, width = clip.shape[1] // scale, clip.shape[2] // scale
    method = KERNELS[kernel]
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((width, height), method)) for frame in clip]
    )


def degrade(
    clip: np.ndarray, scale: int, settings: Degradation, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A low-resolution clip and what the network is told of it.

    clip: (T, H, W, 3) uint8. Returns the clip (T, H / scale, W / scale, 3) uint8, and (2,) float32:
    noise and blocks, 0 to 1, both 0 for a clip that was only shrunk.
    """
    if random.random() >= settings.share:
        return shrink(clip, scale), np.zeros(2, np.float32)
    low = shrink(clip, scale, str(random.choice(settings.kernels)))
    low = blur(low, random.uniform(*settings.blur))
    level = random.uniform(*settings.noise)
    low = add_noise(low, level, random)
    low, quality = _code(low, settings, random)
    return low, np.array([level / NOISE_FULL, block_condition(quality)], np.float32)


def block_condition(quality: float) -> float:
    """0 to 1 (and beyond) for a JPEG quality."""
    return (QUALITY_NONE - quality) / (QUALITY_NONE - QUALITY_FULL)


def _code(
    low: np.ndarray, settings: Degradation, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    kind = random.random()
    if kind < settings.jpeg_share:
        quality = random.uniform(*settings.jpeg)
        return through_jpeg(low, int(quality)), quality
    if kind < settings.jpeg_share + settings.h264_share:
        crf = random.uniform(*settings.h264)
        return through_h264(low, crf), 100 - 2 * crf
    return low, QUALITY_NONE


def blur(clip: np.ndarray, deviation: float) -> np.ndarray:
    """Every frame under a Gaussian of `deviation` pixels; below 0.1 untouched."""
    return (
        clip
        if deviation < 0.1
        else np.stack([cv2.GaussianBlur(frame, (0, 0), deviation) for frame in clip])
    )


def add_noise(clip: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Independent Gaussian noise of `deviation` grey levels on every frame."""
    noisy = clip + random.normal(0, 1, clip.shape).astype(np.float32) * deviation
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def through_jpeg(clip: np.ndarray, quality: int) -> np.ndarray:
    """Every frame written and read as JPEG, with 4:2:0 chroma."""
    return np.stack([_jpeg(frame, quality) for frame in clip])


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    code = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])


def through_h264(clip: np.ndarray, crf: float) -> np.ndarray:
    """The clip written and read as H.264 at `crf`, in memory. Odd sides are padded for the codec
    and cut again.
    """
    height, width = clip.shape[1:3]
    even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        x264 = ENCODERS["x264"]
        options = encoder_options(x264, round(crf, 1), "veryfast")
        stream = container.add_stream(x264.codec, rate=8, options=options)
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)[:, :height, :width]
