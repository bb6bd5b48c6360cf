"""Small pictures: of a photograph, of a frame from the middle of a video, of its first frame, and
of frames from all of it on one sheet.
"""

from collections.abc import Callable
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
ROWS, COLUMNS = 3, 4


def small_photograph(data: bytes, name: str) -> bytes:
    """The photograph upright, in sRGB, small. Raises BadInputError as `parse_photograph`."""
    return _jpeg(Image.fromarray(parse_photograph(data, name).pixels))


def small_frame(path: Path) -> bytes:
    """A frame from the middle of a video. Raises BadInputError where none can be decoded."""
    return _of_video(path, _middle)


def first_frame_jpeg(path: Path) -> bytes:
    """The first frame of a video. Raises BadInputError where it cannot be decoded."""
    return _of_video(path, _first)


def contact_sheet(path: Path) -> bytes:
    """ROWS x COLUMNS frames of a video, from the first to the last. Raises BadInputError where none
    can be decoded.
    """
    return _of_video(path, _sheet)


def _of_video(path: Path, take: Callable[[Any], np.ndarray]) -> bytes:
    import av
    from av.error import FFmpegError

    from src.media.opening import media_url

    try:
        with av.open(media_url(path), options=READS) as container:
            return _jpeg(Image.fromarray(take(container)))
    except (FFmpegError, StopIteration, IndexError) as error:
        raise BadInputError(f"no frame of the video can be decoded: {error}") from None


def _first(container: Any) -> np.ndarray:
    return next(container.decode(video=0)).to_ndarray(format="rgb24")


def _sheet(container: Any) -> np.ndarray:
    """(ROWS h, COLUMNS w, 3): frames at even steps from the first to the last, row by row. A video
    of fewer frames repeats some.
    """
    frames = [np.asarray(_tile(each.to_image())) for each in container.decode(video=0)]
    if not frames:
        raise IndexError("it holds none")
    chosen = np.linspace(0, len(frames) - 1, ROWS * COLUMNS).round().astype(int)
    rows = [np.hstack([frames[each] for each in row]) for row in chosen.reshape(ROWS, COLUMNS)]
    return np.vstack(rows)


def _tile(image: Image.Image) -> Image.Image:
    image.thumbnail((SIDE // COLUMNS, SIDE // COLUMNS), Image.Resampling.LANCZOS)
    return image


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
