"""What is known of a clip's file: size, length, cuts, and a fingerprint that survives re-encoding.
Looked at once.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from src.core.config import Config
from src.core.durable import write_whole
from src.core.errors import BadInputError, MissingFileError
from src.core.hash_cache import HashCache
from src.core.paths import home
from src.media.clips import upright_frame
from src.media.reader import VideoReader
from src.motion.cuts import is_cut
from src.motion.tvl1 import FlowBackend, flow_backend
from src.motion.warp import visible, warp

VERSION = 3
ANALYSIS = 96
"""Pixels of the longer side of the pictures that cuts are looked for in."""
SUSPICIOUS = 0.2
"""A pair whose pictures differ by this much of the contrast may be a cut; only then is its flow
computed.
"""
SAME = 14
"""Bits of 192 by which two fingerprints of the same clip may differ after re-encoding."""
STEP, TELLING = 4, 20
"""Grey levels between neighbouring cells that are more than noise, and how many of 64 such pairs a
picture needs for its fingerprint to tell it: a logo on a plain ground, a night or a green screen
has fewer.
"""
THUMB = 24
"""Side of the pictures that are compared where fingerprints do not tell."""
NEAR_MEAN, NEAR_MOST = 2.0, 24
"""Levels by which the same clip, coded again, may differ: of all such pixels on average, and of
one.
"""


class ClipInfo(Config):
    """sha256: of the file. width, height: upright. frames: decoded. rate: frames a second. cuts:
    first frames after one. rate: measured, where the times say another than the container.
    fingerprint: hex, 64 bits each of the first, middle and last picture. telling: pairs of cells
    that differ, in the one of the three that has the fewest.
    thumbs: hex, the three as THUMB x THUMB RGB.
    """

    sha256: str
    width: int
    height: int
    frames: int
    rate: float
    cuts: tuple[int, ...]
    fingerprint: str
    telling: int
    thumbs: str


class ClipInfoCache:
    """What is known of clips, by content, kept in `cache/clips`, and hashes by path, size and time
    beside them.
    """

    def __init__(self) -> None:
        self._folder = home() / "cache" / "clips"
        self._hashes = HashCache(self._folder / "hashes.json")

    def sha256(self, path: Path) -> str:
        """The file's hash, computed once. Raises MissingFileError."""
        if not Path(path).is_file():
            raise MissingFileError(f"there is no file at {path}")
        return self._hashes.sha256(Path(path))

    def facts(self, path: Path) -> ClipInfo:
        """Look at the video, or remember. Raises MissingFileError, or BadInputError where it does
        not decode.
        """
        digest = self.sha256(path)
        kept = self._folder / f"{digest}-{VERSION}.json"
        if kept.is_file():
            return ClipInfo(**json.loads(kept.read_text(encoding="utf-8")))
        facts = look(path, digest)
        write_whole(kept, facts.model_dump_json().encode())
        return facts

    def save(self) -> None:
        """Keep the hashes for the next run."""
        self._hashes.save()


def look(path: Path, digest: str) -> ClipInfo:
    """Decode the whole video once."""
    pictures: list[np.ndarray] = []
    thumbs: list[np.ndarray] = []
    times: list[float] = []
    with VideoReader(path) as reader:
        for frame in reader:
            array = upright_frame(frame.array, reader.info)
            pictures.append(small_grey_frame(array))
            thumbs.append(thumb(array))
            times.append(float(frame.pts * reader.info.time_base))
        rate = measured_rate(
            times, float(frame.duration * reader.info.time_base), float(reader.info.rate)
        )
    if len(pictures) < 2:
        raise BadInputError(f"{path} has one frame only; a training clip needs motion")
    at = (0, len(pictures) // 2, len(pictures) - 1)
    shown = [pictures[index] for index in at]
    return ClipInfo(
        sha256=digest, width=array.shape[1], height=array.shape[0], frames=len(pictures), rate=rate,
        cuts=find_cuts(pictures), fingerprint="".join(fingerprint(picture) for picture in shown),
        telling=min(telling(picture) for picture in shown),
        thumbs=b"".join(thumbs[index].tobytes() for index in at).hex(),
    )  # fmt: skip


def measured_rate(times: list[float], last: float, stated: float) -> float:
    """Frames a second by the frames' own times; the stated rate where it is within a hundredth of
    it.

    last: seconds that the last frame lasts, 0 where that is not known.
    """
    span = times[-1] - times[0]
    if len(times) < 2 or span <= 0:
        return stated
    rate = len(times) / (span + (last or span / (len(times) - 1)))
    return stated if abs(rate - stated) <= 0.01 * stated else rate


def thumb(array: np.ndarray) -> np.ndarray:
    """(THUMB, THUMB, 3) uint8."""
    return cv2.resize(array, (THUMB, THUMB), interpolation=cv2.INTER_AREA)


def small_grey_frame(array: np.ndarray) -> np.ndarray:
    """(h, w) uint8, the longer side ANALYSIS pixels, the shorter one at least 16."""
    scale = ANALYSIS / max(array.shape[:2])
    size = tuple(max(16, round(side * scale)) for side in array.shape[1::-1])
    return cv2.resize(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def find_cuts(pictures: list[np.ndarray], backend: FlowBackend | None = None) -> tuple[int, ...]:
    """Frames that begin another shot: pairs that differ plainly, and that no motion explains
    either.
    """
    cuts = []
    for index, (before, after) in enumerate(pairwise(pictures), start=1):
        contrast = max(float(np.abs(before - before.mean()).mean()), 8.0)
        if np.abs(before.astype(float) - after).mean() > SUSPICIOUS * contrast:
            backend = backend or flow_backend()
            if _cut(before, after, backend):
                cuts.append(index)
    return tuple(cuts)


def _cut(before: np.ndarray, after: np.ndarray, backend: FlowBackend) -> bool:
    forward = backend.flow(before[None], after[None])[0]
    backward = backend.flow(after[None], before[None])[0]
    error = float(np.abs(before.astype(float) - warp(after, forward)).mean())
    return is_cut(before, error, float(visible(forward, backward).mean()))


def fingerprint(picture: np.ndarray) -> str:
    """64 bits: whether each cell of a 9x8 picture is brighter than its right neighbour (difference
    hash).
    """
    cells = cv2.resize(picture, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, :-1] > cells[:, 1:]).tobytes().hex()


def telling(picture: np.ndarray) -> int:
    """How many of the 64 comparisons of a fingerprint are more than noise."""
    cells = cv2.resize(picture, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    return int((np.abs(np.diff(cells, axis=1)) >= STEP).sum())


def near(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether small pictures show the same, coded again at most."""
    apart = np.abs(first.astype(int) - second)
    return bool(apart.mean() <= NEAR_MEAN and apart.max() <= NEAR_MOST)


def same_clip(first: ClipInfo, second: ClipInfo) -> bool:
    """Whether two files show the same clip: the same bytes, or fingerprints that differ by a few
    bits.

    Where a fingerprint has too little contrast to tell, the pictures themselves must be near each
    other too.
    """
    if first.sha256 == second.sha256:
        return True
    bits = int(first.fingerprint, 16) ^ int(second.fingerprint, 16)
    if bits.bit_count() > SAME:
        return False
    return min(first.telling, second.telling) >= TELLING or near(
        thumbs_of(first), thumbs_of(second)
    )


def thumbs_of(facts: ClipInfo) -> np.ndarray:
    """(3, THUMB, THUMB, 3) uint8: the first, the middle and the last picture."""
    return np.frombuffer(bytes.fromhex(facts.thumbs), np.uint8).reshape(3, THUMB, THUMB, 3)
