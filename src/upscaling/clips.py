"""What brings the frames of a generated clip to a size:
frames in, frames of the target size out.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import numpy as np

from src.catalog.upscalers import find_preset
from src.core.plan import Plan, Size
from src.core.upscale_request import EnhanceSettings
from src.media.frames import Frame
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.files import LANCZOS, scale_towards
from src.upscaling.lanczos import LanczosUpscaler
from src.upscaling.pieces import pieces
from src.upscaling.registry import load_backend
from src.upscaling.smoothing import TemporalSmoother, too_small_for_flow

PIECE = 60
"""Frames of a piece, as in files: a clip made here and a file enlarged later are treated alike."""


class Upscaler(Protocol):
    """Brings a stream of frames to a target size; order and number of frames are kept."""

    name: str

    def upscale(self, frames: Iterable[np.ndarray], target: Size) -> Iterator[np.ndarray]:
        """frames: (H, W, 3) uint8 RGB; yields (target.height, target.width, 3) uint8 RGB."""
        ...


def make_upscaler(name: str, device: str = "cpu", run: UpscaleRun | None = None) -> Upscaler:
    """The upscaler of a plan: "lanczos" or a preset. Raises BadInputError with the list of presets.

    run: whom it listens to, and what its noise and prompt are.
    """
    return LanczosUpscaler() if name == LANCZOS else PresetUpscaler(name, device, run)


def clip_warnings(plan: Plan) -> list[str]:
    """What of the plan's delivery and upscaling cannot be done at its sizes."""
    steps = [(plan.upscaler, plan.decoded)] if plan.upscaler != LANCZOS else []
    steps += [(plan.upscale.preset, plan.delivered)] if plan.upscale else []
    found = []
    for name, size in steps:
        spec, preset = find_preset(name, "the preset")
        carried = UpscalerChoice(preset, upscaler=spec.id).carried(EnhanceSettings())
        found += too_small_for_flow(carried, size.width, size.height)
    return found


class PresetUpscaler:
    """An upscaler's preset, `PRESET` or `ID/PRESET`, then Lanczos from its 2x, 4x or 8x to the
    target.

    Needs the weights (MissingWeightsError) on first use; frames that need no enlarging are
    resampled without it.
    """

    def __init__(self, name: str, device: str = "cpu", run: UpscaleRun | None = None) -> None:
        self.name, self.device, self.run = name, device, run or UpscaleRun()
        self.spec, self.preset = find_preset(name, "the preset")

    def upscale(self, frames: Iterable[np.ndarray], target: Size) -> Iterator[np.ndarray]:
        """See `Upscaler.upscale`."""
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            return
        every = chain([first], frames)
        native = Size(width=first.shape[1], height=first.shape[0])
        if max(target.width / native.width, target.height / native.height) > 1:
            every = self._enlarged(every, scale_towards(self.name, native, target))
        yield from LanczosUpscaler().upscale(every, target)

    def _enlarged(self, frames: Iterable[np.ndarray], scale: int) -> Iterator[np.ndarray]:
        backend_choice = UpscalerChoice(
            self.preset, scale, self.device, upscaler=self.spec.id,
            accepted=True,  # a plan is made only of a request that accepts what is restricted
        )  # fmt: skip
        backend = load_backend(backend_choice)
        asked = EnhanceSettings(sharpen=self.spec.preset(self.preset).sharpen)
        smoother = TemporalSmoother(backend_choice.carried(asked), backend.scale)
        stream = (Frame(array, pts) for pts, array in enumerate(frames))
        context = backend.window.overlap
        for piece in pieces(stream, backend.window.body(PIECE + 2 * context), context, PIECE):
            arrays = np.stack([frame.array for frame in piece.frames])
            numbers = [piece.index - piece.before + place for place in range(len(arrays))]
            stretch = Stretch(arrays, piece.before, piece.after, numbers)
            if piece.opens:
                smoother.reset()
            for frame, large in zip(
                piece.body, enlarged(backend, stretch, asked, self.run), strict=True
            ):
                source = frame.array.astype(np.float32) * np.float32(1 / 255)
                finished = backend.finish(smoother(large, source), source, asked)
                yield np.clip(np.rint(finished * 255), 0, 255).astype(np.uint8)
