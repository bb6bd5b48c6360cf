"""The temporal scorer: frames in, a report out, at constant memory and beside other work.

    scorer = TemporalScorer(info)
    for frame in reader:
        scorer.update(frame.array)
    report = scorer.finish()

`update` only shrinks the frame and hands the pair to worker threads, so that it fits into an
encoding loop.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction

import numpy as np

from src.core.errors import BadInputError
from src.media.clips import shown_size
from src.media.frames import VideoInfo
from src.media.tone import needs_mapping, to_bt709
from src.metrics.temporal_pair import (
    PairMeasures,
    analysis_picture,
    analysis_size,
    block_difference,
    is_flat,
    measure_pairs,
)
from src.metrics.temporal_report import TemporalReport
from src.metrics.temporal_score import ScoreFold
from src.motion.tvl1 import FlowBackend, flow_backend

DEFAULT_RATE = Fraction(8)
WAITING_PAIRS = 96
"""Pairs that may wait for their flow before `update` blocks: 17 MB, and a 49-frame clip never
blocks.
"""
_SHORTEST = 1 / 1000
"""Seconds between frames at least; guards against broken time stamps."""


class TemporalScorer:
    """A fold over the frames of one clip.

    info: the clip's VideoInfo (pixels that are not square, and HDR, are scored as they are shown),
    or its (width, height) with `rate` in frames a second (8 if not given).
    backend: a FlowBackend, or its name; "auto" or None is the fastest on this machine. Raises
    BadInputError for an empty frame size, an unknown backend, a frame of another size, or fewer
    than two frames at `finish`.
    """

    def __init__(
        self,
        info: VideoInfo | tuple[int, int],
        backend: FlowBackend | str | None = None,
        rate: float | Fraction | None = None,
    ) -> None:
        described = isinstance(info, VideoInfo)
        width, height = shown_size(info) if described else info
        self._info = info if described and needs_mapping(info) else None
        rate = rate or (info.rate if described else DEFAULT_RATE) or DEFAULT_RATE
        self._size = analysis_size(width, height)
        self._interval = 1 / float(rate)
        self._backend = (
            flow_backend(backend or "auto") if isinstance(backend, str | None) else backend
        )
        self._pool = ThreadPoolExecutor(self._backend.workers, thread_name_prefix="flow")
        self._waiting: deque[Future[list[PairMeasures]]] = deque()
        self._intervals: deque[float] = deque()
        self._batch: list[tuple[np.ndarray, np.ndarray]] = []
        self._fold = ScoreFold()
        self._first: np.ndarray | None = None
        self._previous: np.ndarray | None = None
        self._time = 0.0
        self._drift = 0.0
        self._flat = True
        self.frames = 0

    def update(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """Add the next frame, (H, W, 3) uint8 or uint16 RGB; the array may be reused afterwards.

        seconds: its presentation time, for clips of variable rate; without it frames are 1 / rate
        apart.
        """
        frame = frame if self._info is None else to_bt709(frame, self._info)
        picture = analysis_picture(frame, self._size)
        self._flat = self._flat and is_flat(frame)
        time = self._time + self._interval if seconds is None else seconds
        if self._previous is None:
            self._first = picture
        else:
            self._intervals.append(max(time - self._time, _SHORTEST))
            self._batch.append((self._previous, picture))
            self._drift = max(self._drift, block_difference(self._first, picture))
            self._submit(self._backend.batch)
        self._previous, self._time = picture, time
        self.frames += 1

    def finish(self) -> TemporalReport:
        """Wait for the last pairs and judge the clip."""
        try:
            if self.frames < 2:
                raise BadInputError(
                    "a temporal score needs at least two frames, this clip has "
                    f"{self.frames or 'none'}"
                )
            self._submit(1)
            while self._waiting:
                self._collect()
            return self._fold.finish((self._size[1], self._size[0]), self._drift, self._flat)
        finally:
            self.close()

    def close(self) -> None:
        """Drop what still waits; needed only where `finish` is not reached."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "TemporalScorer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _submit(self, at_least: int) -> None:
        """Hand the collected pairs over once there are enough, and fold what is finished."""
        if len(self._batch) >= at_least:
            first, second = (np.stack(pictures) for pictures in zip(*self._batch, strict=True))
            self._batch.clear()
            self._waiting.append(self._pool.submit(measure_pairs, first, second, self._backend))
        while self._waiting and (
            self._waiting[0].done() or len(self._waiting) * self._backend.batch > WAITING_PAIRS
        ):
            self._collect()

    def _collect(self) -> None:
        for measures in self._waiting.popleft().result():
            self._fold.update(measures, self._intervals.popleft())


def score_frames(
    frames, info: VideoInfo | tuple[int, int], backend=None, rate=None
) -> TemporalReport:
    """Score an iterable of (H, W, 3) arrays; see TemporalScorer."""
    with TemporalScorer(info, backend, rate) as scorer:
        for frame in frames:
            scorer.update(frame)
        return scorer.finish()
