"""Writing clips and first frames, whole or not at all."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from src.core.durable import write_whole
from src.media.writer import VideoWriter


def write_clip(path: Path, frames: np.ndarray, fps: float) -> Path:
    """(F, H, W, 3) uint8 as an MP4. Raises OutputError."""
    with VideoWriter(path, frames.shape[2], frames.shape[1], fps, "--output") as writer:
        for frame in frames:
            writer.write(frame)
        return writer.commit()


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """(H, W, 3) uint8 as a PNG. Raises OutputError."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())
    return path
