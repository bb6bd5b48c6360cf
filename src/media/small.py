"""Small pictures for pages: of a photograph, and of a frame from the middle of a video. JPEG."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.core.errors import BadInputError
from src.media.images import parse_photograph
from src.media.videos import READS

SIDE = 960
"""Pixels of the longer side, at most: a clip's width on a dense screen of a tile."""
QUALITY = 82


def small_photograph(data: bytes, name: str) -> bytes:
    """The photograph upright, in sRGB, small. Raises BadInputError as `parse_photograph`."""
    return _jpeg(Image.fromarray(parse_photograph(data, name).pixels))


def small_frame(path: Path) -> bytes:
    """A frame from the middle of a video. Raises BadInputError where none can be decoded."""
    import av
    from av.error import FFmpegError

    from src.media.opening import media_url

    try:
        with av.open(media_url(path), options=READS) as container:
            return _jpeg(Image.fromarray(_middle(container)))
    except (FFmpegError, StopIteration, IndexError) as error:
        raise BadInputError(f"no frame of the video can be decoded: {error}") from None


def _middle(container: Any) -> np.ndarray:
    """The first frame at or after half of the time, else the last one that there is. (H, W, 3)."""
    half = (container.duration or 0) / 2e6
    container.seek(int(half * 1e6))
    frame = None
    for frame in container.decode(video=0):
        if frame.time is None or frame.time >= half:
            break
    if frame is None:
        raise IndexError("it holds none")
    return frame.to_ndarray(format="rgb24")


def _jpeg(image: Image.Image) -> bytes:
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
