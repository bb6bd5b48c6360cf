"""Feeding a backend: what does not fit its window or sizes is filled up first and cut off
afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from loguru import logger

from src.core.errors import OutOfMemoryError
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Backend, Sizes, Stretch, UpscaleRun

HALVINGS = 3
"""How often a piece is begun again in smaller parts."""


def enlarged(
    backend: Backend, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
) -> Iterator[np.ndarray]:
    """The frames of a piece, one after the other: (sH, sW, 3) float32 in about [0, 1].

    Where memory runs out, the piece is begun again with half of what the backend plans with, and
    the frames that were given already are not given again. Raises CancelledError between what the
    backend yields, OutOfMemoryError where it does not fit `HALVINGS` times.
    """
    given, halvings = 0, 0
    while True:
        try:
            for frame in islice(_enlarged(backend, piece, settings, run), given, None):
                given += 1
                yield frame
            return
        except (MemoryError, RuntimeError) as error:
            from src.pipelines.memory import is_out_of_memory

            if not is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:200]
        halvings += 1
        _step_down(backend, said, halvings)


def _step_down(backend: Backend, said: str, halvings: int) -> None:
    measured = backend.measured()
    if not measured or halvings > HALVINGS:
        raise OutOfMemoryError(
            f"{backend.name} ran out of memory: {said}; free memory, or take another --upscaler"
        )
    from src.pipelines.memory import release

    backend.keep_to([most // 2 for most in measured])
    release()
    logger.warning("{} ran out of memory; it goes on in smaller parts", backend.name)


def _enlarged(
    backend: Backend, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
) -> Iterator[np.ndarray]:
    height, width = (backend.scale * side for side in piece.frames.shape[1:3])
    fed = _sized(_long(piece, backend.window.least), backend.sizes)
    count = 0
    for batch in backend.enlarge(fed, settings, run):
        run.cancel.check()
        for frame in batch:
            count += 1
            yield frame[:height, :width]
    if count != len(piece):
        raise AssertionError(f"{backend.name} made {count} frames of {len(piece)}")


def _long(piece: Stretch, least: int) -> Stretch:
    """With the last frame repeated as context until there are enough."""
    lacking = least - len(piece.frames)
    if lacking <= 0:
        return piece
    frames = np.concatenate([piece.frames, piece.frames[-1:].repeat(lacking, 0)])
    last = piece.numbers[-1]
    return Stretch(frames, piece.before, piece.after + lacking, [*piece.numbers, *[last] * lacking])


def _sized(piece: Stretch, sizes: Sizes) -> Stretch:
    """With the right and lower edges repeated up to a size that the backend takes; never white."""
    height, width = piece.frames.shape[1:3]
    below, right = sizes.filled(height) - height, sizes.filled(width) - width
    if not below and not right:
        return piece
    frames = np.pad(piece.frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    return Stretch(frames, piece.before, piece.after, piece.numbers)
