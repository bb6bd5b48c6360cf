"""Which clips go together, and in which order: buckets of one size and length, batches as a
function of the step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from src.core.errors import BadInputError
from src.media.clips import Sampling, frames_at


def pick_bucket(
    frames: int, rate: float, width: int, height: int, buckets: Sequence[Sampling], name: str
) -> Sampling:
    """The longest bucket that a clip of this length fills; of those, the one nearest to its shape.

    Raises BadInputError where the clip is too short for all of them.
    """
    fitting = [
        bucket for bucket in buckets if frames_at(frames, rate, bucket.fps) >= bucket.num_frames
    ]
    if not fitting:
        least = min(buckets, key=lambda bucket: bucket.num_frames)
        raise BadInputError(
            f"{name} is too short: {frames / rate:.1f} s; {least.num_frames} frames at "
            f"{least.fps:g} a second "
            f"need {least.num_frames / least.fps:.1f} s"
        )
    longest = max(bucket.num_frames for bucket in fitting)
    shape = width / height
    same = [bucket for bucket in fitting if bucket.num_frames == longest]
    return min(same, key=lambda bucket: abs(math.log(bucket.width / bucket.height / shape)))


@dataclass(frozen=True)
class Draw:
    """One sample of a step. clip: its index. seed: of everything that is drawn for it."""

    clip: int
    seed: int


class Batches:
    """Batches of `size` clips of one bucket each, by step; every clip comes `repeats` times an
    epoch at least.

    A bucket's last batch is filled up with clips of the same bucket. What is drawn for a sample is
    keyed by (seed, epoch, place in the epoch): any number of processes draws the same.
    """

    def __init__(
        self, buckets: Mapping[Sampling, Sequence[int]], size: int, repeats: int, seed: int
    ) -> None:
        self.buckets = {bucket: tuple(clips) for bucket, clips in buckets.items()}
        self.size, self.repeats, self.seed = size, repeats, seed
        self.steps_per_epoch = sum(
            math.ceil(repeats * len(clips) / size) for clips in self.buckets.values()
        )
        self._epoch: tuple[int, list[tuple[Sampling, list[Draw]]]] = (-1, [])

    def batch(self, step: int) -> tuple[Sampling, list[Draw]]:
        """The samples of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._plan(epoch))
        return self._epoch[1][place]

    def _plan(self, epoch: int) -> list[tuple[Sampling, list[Draw]]]:
        random = np.random.default_rng([self.seed, 11, epoch])
        batches = []
        for bucket, clips in self.buckets.items():
            order = [clip for _ in range(self.repeats) for clip in random.permutation(clips)]
            while len(order) % self.size:
                order.append(clips[int(random.integers(len(clips)))])
            batches += [(bucket, order[k : k + self.size]) for k in range(0, len(order), self.size)]
        shuffled = [batches[k] for k in random.permutation(len(batches))]
        return [
            (
                bucket,
                [self._draw(epoch, place * self.size + k, clip) for k, clip in enumerate(clips)],
            )
            for place, (bucket, clips) in enumerate(shuffled)
        ]

    def _draw(self, epoch: int, place: int, clip: int) -> Draw:
        return Draw(int(clip), sample_seed(self.seed, epoch, place))


def sample_seed(*key: int | str) -> int:
    """A seed of 63 bits from any key, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
