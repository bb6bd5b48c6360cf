"""Mean pictures of a file, for the watermark's detector."""

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from src.core.errors import BadInputError, NewsreelError
from src.media.images import read_photograph
from src.media.reader import VideoReader
from src.watermark.picture import mean_luma

FRAMES = 64
PARTS = (0.0, 0.4, 0.8)
"""Where in a longer video frames are taken from, as shares of its length: a marked clip may be a
part of it.
"""
SHORT_S = 15.0
END, LONGEST = 16, 1200
"""Frames that the end has; of a video with more than so many the end is not looked at."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")


def mean_pictures(path: Path) -> Iterator[np.ndarray]:
    """(H, W) float32 luma: of the first frames, then of others of a longer video; of a picture, it
    itself. Raises BadInputError where nothing can be decoded.
    """
    try:
        yield from _of_video(path)
    except NewsreelError:
        if path.suffix.lower() not in PICTURES:
            raise
        yield mean_luma([read_photograph(path).pixels])


def mean_of_end(path: Path) -> np.ndarray | None:
    """Of the last frames of a video, which may be of another clip than its first; None for one that
    is too short to have both. Raises BadInputError where nothing can be decoded.
    """
    with closing(VideoReader(path)) as reader:
        last = deque((frame.array for frame in islice(reader, LONGEST)), END)
        count = reader.info.frames or 0
    return mean_luma(list(last)) if END * 2 <= count <= LONGEST else None


def _of_video(path: Path) -> Iterator[np.ndarray]:
    with closing(VideoReader(path)) as reader:
        seconds = float(reader.info.seconds or 0)
        yield _mean(reader)
    if seconds > SHORT_S:
        for share in PARTS[1:]:
            with closing(VideoReader(path)) as reader:
                reader.seek(reader.begins_s + share * seconds)
                yield _mean(reader)


def _mean(reader: VideoReader) -> np.ndarray:
    """What comes before a damage counts; with none before it, the damage is raised."""
    frames = []
    try:
        for frame in islice(reader, FRAMES):
            frames.append(frame.array)
    except BadInputError:
        if not frames:
            raise
    if not frames:
        raise BadInputError(f"{reader.path} shows no frame")
    return mean_luma(frames)
