"""The video networks as a backend: one pass, or a cascade of passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from src.catalog.upscalers import WeightFile
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.builds.opening import Opener
from src.upscaling.enhance import finish_frame
from src.upscaling.runtime import NetworkRunner
from src.upscaling.weights import load_network


class NetworkBackend:
    """See `Backend`. Raises as `UpscalerChoice.hashes`, `load_network`
    and `Opener.open` do."""

    sizes = Sizes()

    def __init__(self, choice: UpscalerChoice) -> None:
        self.hashes = choice.hashes()
        opened = [_runner(choice, file, self.hashes[file.name]) for file in choice.files()]
        self.runners = [runner for runner, _ in opened]
        self.builds = tuple(build for _, build in opened)
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
        return finish_frame(made, source, self.scale, asked, self.gate)


def _runner(choice: UpscalerChoice, file: WeightFile, sha256: str) -> tuple[NetworkRunner, str]:
    """The runner of a pass, and the build that it runs."""
    network = load_network(file.path).to(choice.device)
    opened = Opener(network, file.path, sha256).open(choice.runtime, choice.precision)
    return NetworkRunner(network, choice.device, form=opened.form), opened.build


def _heard(batches: Iterator[np.ndarray], run: UpscaleRun) -> Iterator[np.ndarray]:
    """The batches, cancelled between."""
    for batch in batches:
        run.cancel.check()
        yield batch
