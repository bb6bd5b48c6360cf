"""Noised latents to clean ones: window by window, tile by tile, with and without the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.progress import Progress
from src.upscaling.backends import UpscaleRun
from src.upscaling.star.sampler import denoised_at, guided, noised_at, sample
from src.upscaling.star.schedule import START, Level, levels
from src.upscaling.star.windows import Blend, joined_windows, latent_tiles, windows

GUIDANCE = 7.5
"""As published."""
NOISIER = 80
"""By how much later in time a run begins for a source that is all noise: less of it is kept."""


@dataclass(frozen=True)
class Asked:
    """evaluations: of the network, each with and without the text. start: time at which the run
    begins. guidance: 1 leaves the text's opposite out.
    """

    evaluations: int
    start: int = START
    guidance: float = GUIDANCE


def start_for(denoise: float) -> int:
    """The time at which a run begins, for how noisy the source is taken to be, 0 to 1."""
    return START + round(NOISIER * denoise)


class Draws:
    """Noise of the frames of a piece, each from its own stream:
    of the seed and its number alone.
    """

    def __init__(self, run: UpscaleRun, numbers: Sequence[int], like: Tensor) -> None:
        self.streams = [run.random(number) for number in numbers]
        self.shape, self.device = tuple(like.shape[1:]), like.device

    def __call__(self) -> Tensor:
        """(F, 4, h, w) float32, other noise each time."""
        drawn = [stream.standard_normal(self.shape, np.float32) for stream in self.streams]
        return torch.from_numpy(np.stack(drawn)).to(self.device)


class StarDenoiser:
    """See `Denoise` in `sampler.py`; cancelled before each forward, of which it tells.

    source: clean latents of the source, (F, 4, h, w). texts: what is wanted and what is not, each
    (1, N, C). most: places of latents that go through at once; None takes all.
    """

    def __init__(
        self,
        network: Any,
        source: Tensor,
        texts: Sequence[Tensor],
        asked: Asked,
        run: UpscaleRun,
        most: int | None = None,
    ) -> None:
        self.network, self.source, self.asked, self.run = network, source, asked, run
        self.dtype = next(network.parameters()).dtype
        self.texts = [text.to(source.device, self.dtype) for text in texts[: self._forwards()]]
        self.parts = latent_tiles((source.shape[2], source.shape[3]), most)
        self.windows, self.done = windows(len(source)), 0
        self.total = asked.evaluations * len(self.windows) * len(self.parts) * len(self.texts)

    def _forwards(self) -> int:
        return 1 if self.asked.guidance == 1 else 2

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return joined_windows([self._window(x, slice(*ends), level) for ends in self.windows])

    def _window(self, x: Tensor, frames: slice, level: Level) -> Tensor:
        blend = Blend(self.parts)
        for rows, columns in self.parts:
            place = (frames, slice(None), slice(*rows), slice(*columns))
            blend.add(self._tile(x[place], self.source[place], level), rows, columns)
        return blend.result()

    def _tile(self, x: Tensor, source: Tensor, level: Level) -> Tensor:
        made = [self._forward(x, source, level, text) for text in self.texts]
        velocity = guided(made[0], made[1], self.asked.guidance) if len(made) > 1 else made[0]
        return denoised_at(x, velocity, level)

    def _forward(self, x: Tensor, source: Tensor, level: Level, text: Tensor) -> Tensor:
        self.run.cancel.check()
        time = torch.tensor([level.time], device=x.device)
        made = self.network(x.to(self.dtype), time, text, source.to(self.dtype)).float()
        if not is_finite(made):
            raise NotFiniteError(
                f"star predicted numbers that are not finite at time {level.time}; its weights are "
                "likely damaged: fetch them again"
            )
        self.done += 1
        self.run.listener(Progress("star", self.done, self.total))
        return made


def restored(denoiser: StarDenoiser, numbers: Sequence[int]) -> Tensor:
    """Clean latents (F, 4, h, w) of a source. numbers: of its frames in the video."""
    source, visited = denoiser.source, levels(denoiser.asked.evaluations, denoiser.asked.start)
    draw = Draws(denoiser.run, numbers, source)
    return sample(noised_at(source, visited[0], draw()), visited, denoiser, draw)
