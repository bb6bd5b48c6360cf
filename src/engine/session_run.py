"""One run of a loaded pipeline: encode, denoise, decode; and latents that were made before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src.core.plan import Plan, SessionKey
from src.core.progress import CancelToken, Listener, Progress
from src.engine.costs import Stopwatch
from src.pipelines.family import Family
from src.pipelines.sides import ClipState

if TYPE_CHECKING:
    from src.pipelines.denoise import Preview


Decode = Callable[..., Iterator[np.ndarray]]
"""As `Loop.decode`."""


def tiled(plan: Plan) -> Plan:
    """The same plan, decoded in tiles."""
    return plan.model_copy(update={"session": plan.session.model_copy(update={"tiling": True})})


@dataclass(frozen=True)
class Ready:
    """Clean latents of one plan, as its family decodes them, and its share of what they cost, by
    stage.
    """

    latents: Any
    seconds: dict[str, float]


@contextmanager
def denoising(family: Family, pipe: Any, key: SessionKey) -> Iterator[None]:
    """What holds while the transformer runs: where it lies, and its attention kernel."""
    from src.pipelines.attending import attention_kernel
    from src.pipelines.placement import for_denoising
    from src.pipelines.roles import denoisers
    from src.pipelines.tuning import drop_state

    try:
        with for_denoising(family, pipe, key), attention_kernel(key.attention, key.device):
            yield
    finally:
        for part in denoisers(family, pipe):
            drop_state(part)


def begin_run(family: Family, pipe: Any, plan: Plan, pixels: np.ndarray) -> ClipState:
    """The clip before its first step."""
    from src.pipelines.memory import generator_for

    return family.loop.begin(pipe, plan, pixels, generator_for(plan.seed))


@dataclass(frozen=True)
class SessionRun:
    """One run of a loaded pipeline, and who watches it. keep: takes the latents that could not be
    decoded. decode: a preview decoder's; None: the family's.
    """

    family: Family
    pipe: Any
    plan: Plan
    pixels: np.ndarray
    watch: Stopwatch
    listener: Listener
    cancel: CancelToken
    preview: "Preview | None"
    keep: Callable[[Plan, Ready], None]
    decode: Decode | None

    def frames(self, ready: Ready | None) -> Iterator[np.ndarray]:
        """Our loop: pieces of frames (n, H, W, 3) uint8 as they are decoded."""
        try:
            latents = self._taken(ready) if ready else self._denoised()
            yield from self._decoded(latents)
        finally:
            self.pipe.maybe_free_model_hooks()

    def _decoded(self, latents: Any) -> Iterator[np.ndarray]:
        from src.pipelines.memory import is_out_of_memory

        tiling = self.plan.session.tiling
        try:
            decode = self.decode or self.family.loop.decode
            pieces = decode(self.pipe, latents, self.listener, self.cancel, tiling)
            yield from self.watch.drain("decode", pieces)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                spent = {stage: self.watch.seconds[stage] for stage in ("encode", "denoise")}
                self.keep(self.plan, Ready(latents, spent))
            raise

    def _denoised(self) -> Any:
        from src.pipelines import denoise

        with self.watch.stage("encode"):
            self.cancel.check()
            clip = begin_run(self.family, self.pipe, self.plan, self.pixels)
            self.listener(Progress("encode", 1, 1))
        with self.watch.stage("denoise"), denoising(self.family, self.pipe, self.plan.session):
            made = denoise.denoise(
                self.family, self.pipe, self.plan, [clip], self.listener, self.cancel, self.preview
            )
        return made[0]

    def _taken(self, ready: Ready) -> Any:
        for stage, seconds in ready.seconds.items():
            self.watch.add(stage, seconds)
        return ready.latents

    def stock(self) -> Iterator[np.ndarray]:
        """The reference: the stock pipeline, called as its model card calls it;
        it has no preview.
        """
        from src.pipelines.memory import generator_for
        from src.pipelines.stock import run_stock

        generator = generator_for(self.plan.seed)
        with self.watch.stage("generate"):
            frames = run_stock(
                self.family,
                self.pipe,
                self.plan,
                self.pixels,
                generator,
                self.listener,
                self.cancel,
            )
        yield frames
