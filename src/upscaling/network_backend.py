"""The video networks as a backend: one pass, or a cascade of passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.enhance import finish
from src.upscaling.runtime import NetworkRunner
from src.upscaling.weights import load_network


class NetworkBackend:
    """See `Backend`. Raises as `UpscalerChoice.hashes` and `load_network` do."""

    sizes = Sizes()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.hashes = choice.hashes()
        self.runners = [
            NetworkRunner(load_network(file.path), choice.device) for file in choice.files()
        ]
        self.gate = choice.spec.preset(choice.preset).gate
        self.name, self.scale = f"{choice.preset} {choice.scale}x", choice.scale
        self.window = Window(overlap=sum(runner.spec.context for runner in self.runners))

    def measured(self) -> list[int]:
        """See `Backend.measured`."""
        return [runner.budget for runner in self.runners]

    def keep_to(self, measured: list[int]) -> None:
        """See `Backend.keep_to`."""
        for runner, budget in zip(self.runners, measured, strict=True):
            runner.budget = budget

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`; only the first pass is told of noise and blocks, the second sees
        none.
        """
        first, *rest = self.runners
        frames, before, after = piece.frames, piece.before, piece.after
        told = (settings.denoise, settings.deblock)
        if not rest:
            yield from first.run(frames, before, after, told)
            return
        kept = rest[0].spec.context
        lead, trail = min(before, kept), min(after, kept)
        middle = np.concatenate(
            list(_heard(first.run(frames, before - lead, after - trail, told), run))
        )
        yield from rest[0].run(np.clip(middle, 0, 1), lead, trail, (0.0, 0.0))

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: detail is gated, low frequencies come from the source, and what was
        asked is done.
        """
        return finish(made, source, self.scale, asked, self.gate)


def _heard(batches: Iterator[np.ndarray], run: UpscaleRun) -> Iterator[np.ndarray]:
    """The batches, cancelled between."""
    for batch in batches:
        run.cancel.check()
        yield batch
