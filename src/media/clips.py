"""A video file as one clip of a fixed rate, length and size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.core.errors import BadInputError
from src.media.frames import VideoInfo
from src.media.images import fit_photograph
from src.media.reader import VideoReader


@dataclass(frozen=True)
class Sampling:
    """num_frames at fps frames a second from the clip's begin, filled and cropped to width x height pixels."""

    num_frames: int
    fps: float
    width: int
    height: int


def read_clip(path: Path, sampling: Sampling) -> np.ndarray:
    """(F, H, W, 3) uint8: at each instant k / fps the frame that is on screen.

    Raises MissingFileError or BadInputError where the file is missing, damaged or too short.
    """
    with VideoReader(path) as reader:
        picked = [_fitted(frame, sampling) for frame in _on_screen(reader, sampling)]
    if len(picked) < sampling.num_frames:
        wanted = f"{sampling.num_frames} frames at {sampling.fps:g} a second"
        raise BadInputError(f"{path} is too short: it gives {len(picked)} frames of {wanted}")
    return np.stack(picked)


def frames_at(rate_frames: int, rate: float, fps: float) -> int:
    """How many frames at `fps` a clip of `rate_frames` frames at `rate` gives."""
    return int((rate_frames - 0.5) * fps / rate) + 1 if rate_frames else 0


def upright(array: np.ndarray, info: VideoInfo) -> np.ndarray:
    """The frame turned as it is to be displayed."""
    return np.rot90(array, -(info.rotation // 90)) if info.rotation else array


def _on_screen(reader: VideoReader, sampling: Sampling) -> Iterator[np.ndarray]:
    """The frames at 0, 1 / fps, 2 / fps ... after the first; a frame stays on screen until the next one."""
    half = 0.5 / float(reader.info.rate)  # time stamps are rounded: a frame half a frame late still counts
    taken, first, shown = 0, None, None
    for frame in reader:
        time = float(frame.pts * reader.info.time_base)
        first = time if first is None else first
        while shown is not None and taken < sampling.num_frames and taken / sampling.fps < time - first - half:
            yield shown
            taken += 1
        if taken == sampling.num_frames:
            return
        shown = upright(frame.array, reader.info)
    length = 0.0 if first is None else time - first + 2 * half
    while taken < sampling.num_frames and taken / sampling.fps < length - half:
        yield shown
        taken += 1


def _fitted(array: np.ndarray, sampling: Sampling) -> np.ndarray:
    if array.shape[:2] == (sampling.height, sampling.width):
        return np.ascontiguousarray(array)
    return fit_photograph(np.ascontiguousarray(array), sampling.width, sampling.height, "cover")
