"""What brings the frames of a generated clip to a size: frames in, frames of the target size out."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import numpy as np

from src.core.plan import Size
from src.core.upscale_request import EnhanceSettings
from src.media.frames import Frame
from src.upscaling.backends import UpscalerChoice
from src.upscaling.files import LANCZOS, scale_towards
from src.upscaling.lanczos import LanczosUpscaler
from src.upscaling.pieces import pieces
from src.upscaling.registry import load_backend

PIECE = 60
"""Frames of a piece, as in files: a clip made here and a file enlarged later are treated alike."""


class Upscaler(Protocol):
    """Brings a stream of frames to a target size; order and number of frames are kept."""

    name: str

    def upscale(self, frames: Iterable[np.ndarray], target: Size) -> Iterator[np.ndarray]:
        """frames: (H, W, 3) uint8 RGB; yields (target.height, target.width, 3) uint8 RGB."""
        ...


def make_upscaler(name: str, device: str = "cpu") -> Upscaler:
    """The upscaler of a plan: "lanczos" or a preset. Raises BadInputError with the list of presets."""
    if name == LANCZOS:
        return LanczosUpscaler()
    UpscalerChoice(name).spec.preset(name)
    return NetworkUpscaler(name, device)


class NetworkUpscaler:
    """The network of a preset, then Lanczos from its 2x, 4x or 8x to the target.

    Needs the weights (MissingWeightsError) on first use; frames that need no enlarging are resampled without it.
    """

    def __init__(self, preset: str, device: str = "cpu") -> None:
        self.name, self.device = preset, device

    def upscale(self, frames: Iterable[np.ndarray], target: Size) -> Iterator[np.ndarray]:
        """See `Upscaler.upscale`."""
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            return
        every = chain([first], frames)
        native = Size(width=first.shape[1], height=first.shape[0])
        if max(target.width / native.width, target.height / native.height) > 1:
            every = self._enlarged(every, scale_towards(native, target))
        yield from LanczosUpscaler().upscale(every, target)

    def _enlarged(self, frames: Iterable[np.ndarray], scale: int) -> Iterator[np.ndarray]:
        backend, asked = load_backend(UpscalerChoice(self.name, scale, self.device)), EnhanceSettings()
        stream = (Frame(array, pts) for pts, array in enumerate(frames))
        for piece in pieces(stream, PIECE, backend.context, PIECE):
            arrays = np.stack([frame.array for frame in piece.frames])
            made = backend.enlarge(arrays, piece.before, piece.after, asked)
            for frame, large in zip(piece.body, (one for batch in made for one in batch), strict=True):
                source = frame.array.astype(np.float32) * np.float32(1 / 255)
                finished = backend.finish(large, source, asked)
                yield np.clip(np.rint(finished * 255), 0, 255).astype(np.uint8)
