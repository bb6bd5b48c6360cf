"""python -m benchmarks.signing --clip MP4: what signing costs, and which changes are found.

The clip is signed again and again with the home's certificate; then bits of the signed one are
flipped, and it is cut, at places that a seed gives.
"""

import argparse
import json
import random
import shutil
import statistics
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.core.paths import REPOSITORY
from src.media.reader import VideoReader
from src.trust.claim import GENERATED, Claim
from src.trust.reading import read_provenance
from src.trust.settings import anchors
from src.trust.signing import check_signing, sign_file

PHOTOGRAPH = REPOSITORY / "data" / "samples" / "sample_image_1.png"
CLIP = REPOSITORY / "outputs" / "examples" / "baseline_cityhall.mp4"
FLIPS, CUTS = 100, 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--times", type=int, default=30)
    asked = parser.parse_args()
    check_signing()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(asked.clip, asked.times, Path(folder) / "clip.mp4"), indent=2))


def measured(clip: Path, times: int, target: Path) -> dict[str, Any]:
    """Milliseconds, bytes, and how often each state was answered."""
    took = [_sign(clip, target) for _ in range(times)]
    data, frames = target.read_bytes(), _frames(target)
    return {
        "frames": len(frames),
        "frames_equal": frames == _frames(clip),
        "sign_ms": {"median": statistics.median(took), "most": max(took)},
        "bytes_more": len(data) - clip.stat().st_size,
        "flips": {name: _states(target, made) for name, made in _flips(data).items()},
        "cuts": _states(target, [data[:end] for end in _ends(len(data))]),
    }


def _sign(clip: Path, target: Path) -> float:
    claim = Claim(GENERATED, "benchmark", "nano", {"seed": "7"}, PHOTOGRAPH, PHOTOGRAPH.name)
    shutil.copy(clip, target)
    begin = time.perf_counter()
    sign_file(target, target, claim)
    return (time.perf_counter() - begin) * 1000


def _frames(path: Path) -> list[bytes]:
    with VideoReader(path) as reader:
        return [frame.array.tobytes() for frame in reader]


def _flips(data: bytes) -> dict[str, list[bytes]]:
    """A bit of each of these boxes, at places drawn; the last uuid is XMP."""
    chance, places = random.Random(24), dict(_boxes(data))
    return {
        kind: [_flipped(data, chance.randrange(*places[kind]), chance) for _ in range(FLIPS)]
        for kind in ("moov", "mdat", "uuid")
    }


def _boxes(data: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    place = 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        yield kind.decode(), (place, place + size)
        place += size


def _flipped(data: bytes, place: int, chance: random.Random) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _ends(size: int) -> list[int]:
    return [size * number // CUTS for number in range(1, CUTS)]


def _states(target: Path, files: list[bytes]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for data in files:
        target.write_bytes(data)
        found[read_provenance(target, anchors()).state] += 1
    return dict(found)


if __name__ == "__main__":
    main()
