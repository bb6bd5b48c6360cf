"""A video file as one clip of a fixed rate, length and size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.core.errors import BadInputError
from src.media.frames import VideoInfo
from src.media.images import fit_photograph
from src.media.reader import VideoReader
from src.media.tone import is_hdr, needs_mapping, to_bt709

MOST_STRETCHED = 8
"""Times that a pixel may be as wide as it is high, or the other way round; beyond, the tag is taken
for an error.
"""


@dataclass(frozen=True)
class Sampling:
    """num_frames at fps frames a second from the clip's begin, filled and cropped to width x height
    pixels.
    """

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


def upright_frame(array: np.ndarray, info: VideoInfo) -> np.ndarray:
    """The frame as it is displayed: in BT.709, its pixels square, turned.

    Raises BadInputError for HLG and PQ: how bright they are meant is a choice that training must
    not make.
    """
    if is_hdr(info):
        kind = "HLG" if info.transfer == "arib-std-b67" else "PQ"
        raise BadInputError(
            f"the video is HDR ({kind}), which is not trained on; convert it first to BT.709, with "
            "ffmpeg -i IN -vf "
            "zscale=t=linear:npl=203,tonemap=hable,zscale=p=bt709:t=bt709:m=bt709,format=yuv420p "
            "OUT"
        )
    return turned(to_bt709(array, info) if needs_mapping(info) else array, info)


def turned(array: np.ndarray, info: VideoInfo) -> np.ndarray:
    """The frame, (H, W, 3) or (H, W, 4), enlarged or not, with square pixels and turned, in its own
    colours.
    """
    height, width = array.shape[:2]
    stretch = (shown_size(info)[0] / info.width, shown_size(info)[1] / info.height)
    if stretch != (1, 1):
        wide = (round(width * stretch[0]), round(height * stretch[1]))
        array = cv2.resize(array, wide, interpolation=cv2.INTER_CUBIC)
    return np.rot90(array, -(info.rotation // 90)) if info.rotation else array


def shown_size(info: VideoInfo) -> tuple[int, int]:
    """(width, height) with square pixels, before turning: the side that a wider or a higher pixel
    stretches grows.
    """
    aspect = float(info.sample_aspect_ratio)
    if not 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED:
        return info.width, info.height
    return round(info.width * max(aspect, 1)), round(info.height * max(1 / aspect, 1))


def _on_screen(reader: VideoReader, sampling: Sampling) -> Iterator[np.ndarray]:
    """The frames at 0, 1 / fps, 2 / fps ... after the first; a frame stays on screen until the next
    one.

    How many there are at the end agrees with `frames_at` of the measured rate, a variable one too.
    """
    # time stamps are rounded: a frame half a frame late still counts
    half = 0.5 / float(reader.info.rate)
    taken, count, first, shown, last = 0, 0, None, None, 0.0
    for frame in reader:
        count, last = count + 1, float(frame.duration * reader.info.time_base)
        time = float(frame.pts * reader.info.time_base)
        first = time if first is None else first
        while (
            shown is not None
            and taken < sampling.num_frames
            and taken / sampling.fps < time - first - half
        ):
            yield shown
            taken += 1
        if taken == sampling.num_frames:
            return
        shown = upright_frame(frame.array, reader.info)
    length = 0.0 if first is None else time - first + (last or 2 * half)
    end = length * (1 - 0.5 / max(count, 1))
    while shown is not None and taken < sampling.num_frames and taken / sampling.fps < end:
        yield shown
        taken += 1


def _fitted(array: np.ndarray, sampling: Sampling) -> np.ndarray:
    if array.shape[:2] == (sampling.height, sampling.width):
        return np.ascontiguousarray(array)
    return fit_photograph(np.ascontiguousarray(array), sampling.width, sampling.height, "cover")
