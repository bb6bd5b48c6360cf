"""What enlarges pieces of video: a protocol, and the networks behind it.

A diffusion upscaler would be one more backend: it says `takes_guidance` and how many frames of context it wants, and
it is the only kind that `--guidance-scale` is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from src.core.errors import BadInputError
from src.upscaling.files import STAGES, file_hashes, preset_files
from src.upscaling.knobs import Knobs
from src.upscaling.presets import PRESETS, TRUST, Trust


class Backend(Protocol):
    """Enlarges pieces.

    name: for people. scale: of all passes. context: frames to either side that a result depends on. takes_guidance:
    whether a guidance scale means anything to it. trust: in its detail.
    hashes: SHA-256 of its weight files by name.
    """

    name: str
    scale: int
    context: int
    takes_guidance: bool
    trust: Trust
    hashes: dict[str, str]

    def measured(self) -> list[int]:
        """What it found free, in bytes a pass, and cuts batches and tiles by."""
        ...

    def keep_to(self, measured: list[int]) -> None:
        """Cut as a run did that measured this, whatever is free now: other tiles round otherwise."""
        ...

    def enlarge(self, frames: np.ndarray, before: int, after: int, knobs: Knobs) -> Iterator[np.ndarray]:
        """frames (T, H, W, 3) uint8 or uint16, of which `before` and `after` are context.

        Yields (n, sH, sW, 3) float32 in about [0, 1], T - before - after frames in all.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """Which upscaler: a preset and a scale, on a device; guidance_scale only where the backend takes one.
    folder: of the weights, None for the repository's."""

    preset: str = "fast"
    scale: int = 2
    device: str = "cpu"
    guidance_scale: float | None = None
    folder: Path | None = None


class NetworkBackend:
    """One pass, or a cascade of passes, of the networks of a preset."""

    takes_guidance = False

    def __init__(self, choice: Choice) -> None:
        from src.upscaling.runtime import NetworkRunner
        from src.upscaling.weights import load_network

        files = preset_files(choice.preset, choice.scale, choice.folder)
        self.runners = [NetworkRunner(load_network(file), choice.device) for file in files]
        self.hashes = file_hashes(files)
        self.trust = TRUST[choice.preset]
        self.name, self.scale = f"{choice.preset} {choice.scale}x", choice.scale
        self.context = sum(runner.spec.context for runner in self.runners)

    def measured(self) -> list[int]:
        """See `Backend.measured`."""
        return [runner.budget for runner in self.runners]

    def keep_to(self, measured: list[int]) -> None:
        """See `Backend.keep_to`."""
        for runner, budget in zip(self.runners, measured, strict=True):
            runner.budget = budget

    def enlarge(self, frames: np.ndarray, before: int, after: int, knobs: Knobs) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`; only the first pass is told of noise and blocks, the second sees none."""
        first, *rest = self.runners
        if not rest:
            yield from first.run(frames, before, after, knobs.condition)
            return
        kept = rest[0].spec.context
        lead, trail = min(before, kept), min(after, kept)
        middle = np.concatenate(list(first.run(frames, before - lead, after - trail, knobs.condition)))
        yield from rest[0].run(np.clip(middle, 0, 1), lead, trail, (0.0, 0.0))


def check_choice(choice: Choice) -> None:
    """Raise BadInputError or MissingWeightsError where a choice cannot be; loads nothing."""
    if choice.scale not in STAGES:
        raise BadInputError(f"--scale is {choice.scale}; it must be 2, 4 or 8")
    if choice.preset not in PRESETS:
        raise BadInputError(f"--preset is {choice.preset!r}; it must be one of: {', '.join(PRESETS)}")
    if choice.guidance_scale is not None:
        raise BadInputError(
            f"--guidance-scale is for diffusion upscalers only; preset {choice.preset} is a network and has no guidance"
        )
    preset_files(choice.preset, choice.scale, choice.folder)


def make_backend(choice: Choice) -> Backend:
    """The backend of a choice, loaded. Raises as `check_choice` does."""
    check_choice(choice)
    return NetworkBackend(choice)
