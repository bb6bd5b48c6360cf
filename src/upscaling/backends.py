"""What enlarges pieces of video: a protocol, what is handed to it, and what is told of it before it
loads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from src.catalog.upscalers import UpscalerSpec, WeightFile, find_upscaler
from src.core.errors import BadInputError
from src.core.progress import CancelToken, Listener, ignore
from src.core.refinement import REFINERS, Refinement, parse
from src.core.upscale_request import UPSCALER, EnhanceSettings
from src.upscaling.files import file_hashes


@dataclass(frozen=True)
class Window:
    """How many frames a backend takes at once, context included.

    least: where there are fewer, the last one is repeated. most: None takes any number. overlap:
    frames to either side that a result depends on: the context of each piece. Where all frames of
    a piece look at each other, as in diffusion over time, it is what hides the seam.
    """

    least: int = 1
    most: int | None = None
    overlap: int = 0

    def body(self, most: int) -> int:
        """Frames of a piece without its context, where the machine holds `most` frames at once; at
        least as many as the context, so that no more than half of the work is for seams.
        """
        held = max(most, 4 * self.overlap)
        return max(1, (min(held, self.most) if self.most else held) - 2 * self.overlap)


@dataclass(frozen=True)
class Sizes:
    """Which frames a backend takes: others are filled up at their right and lower edges.

    least: of a side, in pixels. multiple: that each side is of.
    """

    least: int = 1
    multiple: int = 1

    def filled(self, side: int) -> int:
        """The smallest side that holds this one."""
        return -(-max(side, self.least) // self.multiple) * self.multiple


@dataclass(frozen=True)
class Stretch:
    """Frames that go through a backend at once.

    frames: (T, H, W, 3) uint8 or uint16. before, after: how many of them are context. numbers: of
    each frame in the video, from 0; repeated frames may be left out between them.
    """

    frames: np.ndarray
    before: int = 0
    after: int = 0
    numbers: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", range(len(self.frames)))

    def __len__(self) -> int:
        """Frames that come out."""
        return len(self.frames) - self.before - self.after


@dataclass(frozen=True)
class UpscaleRun:
    """What a run gives a backend beside frames and settings.

    cancel: to be checked before each forward. listener: for stages of the backend's own. seed: of
    all noise. prompt: what the video shows, "" where nobody said.
    """

    cancel: CancelToken = field(default_factory=CancelToken)
    listener: Listener = ignore
    seed: int = 0
    prompt: str = ""

    def noise(self, number: int, shape: Sequence[int]) -> np.ndarray:
        """Standard normal float32 of a frame of the video: of the seed and its number alone, so
        that a run that goes on where another stopped draws what that would have drawn.
        """
        return self.random(number).standard_normal(tuple(shape), np.float32)

    def random(self, number: int) -> np.random.Generator:
        """What `noise` draws from, for a backend that draws more than once a frame."""
        return np.random.Generator(np.random.Philox(key=[self.seed, number]))


class Backend(Protocol):
    """Enlarges pieces.

    name: for people. scale: of all passes. builds: what computes each pass, as manifests name it;
    empty where an upscaler has no optimised builds. window, sizes: what it takes; whatever does not
    fit is filled up before it gets there and cut off afterwards (`feeding.py`). hashes: SHA-256 of
    its weight files by name. What it does of a request stands in its spec.
    """

    name: str
    scale: int
    builds: tuple[str, ...]
    window: Window
    sizes: Sizes
    hashes: dict[str, str]

    def measured(self) -> list[int]:
        """What it found free, in bytes a pass, and cuts batches and tiles by."""
        ...

    def keep_to(self, measured: list[int]) -> None:
        """Cut as a run did that measured this, whatever is free now:
        other tiles round otherwise.
        """
        ...

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """Yields (n, sH, sW, 3) float32 in about [0, 1], `len(piece)` frames in all."""
        ...

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """What it does to a frame that it made, before that is encoded.

        made: (sH, sW, 3), source: (H, W, 3), both float32 in [0, 1]; `made` may be changed in
        place.
        """
        ...


class Measured:
    """`measured` and `keep_to` of a backend that cuts by one number of bytes, or by none."""

    budget: int | None = None

    def measured(self) -> list[int]:
        """See `Backend.measured`."""
        return [] if self.budget is None else [self.budget]

    def keep_to(self, measured: list[int]) -> None:
        """See `Backend.keep_to`."""
        self.budget = measured[0] if measured else None


CARRIED = 0.8
"""How far the detail of refined frames follows the motion, at the least."""


@dataclass(frozen=True)
class UpscalerChoice:
    """Which upscaler, with which of its presets, at which scale, on a device; guidance_scale only
    where it takes one.

    noisy: whether the source is taken to be, so that other files are taken where there are such.
    runtime, precision: of its networks; where neither is given, what they always were.
    folder: where other weights lie, None for the spec's own. detected: the spec of a file or folder
    that the catalog does not know. accepted: a licence that restricts.
    refine: `NAME` or `NAME:STRENGTH`, what the frames are refined by. refiner_folder: where its
    files lie, None for the spec's own.
    """

    preset: str = "fast"
    scale: int = 2
    device: str = "cpu"
    guidance_scale: float | None = None
    folder: Path | None = None
    upscaler: str = UPSCALER
    seed: int = 0
    prompt: str = ""
    detected: UpscalerSpec | None = None
    accepted: bool = False
    runtime: str | None = None
    precision: str | None = None
    noisy: bool = False
    refine: str | None = None
    refiner_folder: Path | None = None

    @property
    def refinement(self) -> Refinement | None:
        """What the frames are refined by; by itself an upscaler that does nothing else.

        Raises BadInputError where there is none of this name and strength.
        """
        if self.refine is None:
            return Refinement(self.spec.backend) if self.spec.backend in REFINERS else None
        try:
            return parse(self.refine)
        except ValueError as error:
            raise BadInputError(f"{error}, got {self.refine!r}") from None

    @property
    def refiner(self) -> UpscalerSpec:
        """The spec of what refines."""
        return find_upscaler(self.refinement.name if self.refinement else REFINERS[0])

    def carried(self, asked: EnhanceSettings) -> float:
        """How far detail follows the motion, 0 to 1."""
        return max(asked.steady, CARRIED if self.refinement else 0.0)

    @property
    def spec(self) -> UpscalerSpec:
        """Raises BadInputError where there is none of this id."""
        return self.detected or find_upscaler(self.upscaler)

    def files(self) -> list[WeightFile]:
        """Of all passes. Raises BadInputError or MissingWeightsError where the choice cannot be."""
        return self.spec.weights(self.preset, self.scale, self.folder, self.noisy)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files by name, of what refines too. Raises as `files` and `file_hashes`
        do.
        """
        return file_hashes({*self.weight_files()})

    def weight_files(self) -> list[WeightFile]:
        """Of the upscaler and of what refines. Raises as `files` does."""
        return [*self.files(), *self._refiner_files()]

    def _refiner_files(self) -> list[WeightFile]:
        if self.refinement is None or self.spec.backend == self.refinement.name:
            return []
        spec = self.refiner
        return spec.weights(spec.usual, spec.scales(spec.usual)[0], self.refiner_folder)

    def check(self, asked: EnhanceSettings) -> None:
        """Raise as `files` does, and for what is asked and the upscaler does not do;
        loads nothing.
        """
        names = ("guidance_scale", "seed", "prompt", "runtime", "precision")
        own = {name: getattr(self, name) for name in names}
        if self.refinement:
            own["seed"] = 0  # it draws noise, whatever the upscaler does
            self.refiner.check_licence(self.accepted)
        self.spec.check(asked.model_dump() | own)
        self.spec.check_licence(self.accepted)
        self.files()
        self._refiner_files()

    def run(self, cancel: CancelToken, listener: Listener = ignore) -> UpscaleRun:
        """What a run of this choice gives its backend."""
        return UpscaleRun(cancel, listener, self.seed, self.prompt)
