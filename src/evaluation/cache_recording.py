"""What a calibration records of uncached runs, and the fit that it makes of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from src.core.plan import Plan
from src.pipelines.cache_fit import CacheFit
from src.pipelines.family import Part
from src.pipelines.step_skipping import block_metadata, given_tokens, made_tokens

DEGREE = 4
"""Of the polynomial, as published."""


class Recorder:
    """Of one denoiser, over any number of runs of one plan's settings.

    ratios: at each step, the mean over tokens of |residual| / |residual of the step before|; one
    value for each run and forward. embeddings: of the timestep, (D,) a step. moved: relative L1 of
    the model's output to the step before.
    """

    def __init__(self, denoiser: Any, part: Part) -> None:
        self.denoiser, self.part = denoiser, part
        self.ratios: dict[int, list[float]] = defaultdict(list)
        self.moved: dict[int, list[float]] = defaultdict(list)
        self.embeddings: dict[int, np.ndarray] = {}
        blocks = part.blocks_of(denoiser)
        self._ends, self._form = (blocks[0], blocks[-1]), block_metadata(blocks[0])
        self._entered: Tensor | None = None
        self._norms: dict[tuple[int, ...], Tensor] = {}
        self._outputs: dict[tuple[int, ...], Tensor] = {}

    @contextmanager
    def run(self) -> Iterator[None]:
        """Record one run."""
        self._norms.clear()
        self._outputs.clear()
        time = self.denoiser.get_submodule(self.part.time)
        handles = [
            time.register_forward_hook(self._embed),
            self.denoiser.register_forward_hook(self._move),
            self._ends[0].register_forward_pre_hook(self._enter, with_kwargs=True),
            self._ends[1].register_forward_hook(self._weigh),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._entered = given_tokens(self._form, args, kwargs)

    def _weigh(self, block: nn.Module, given: Any, made: Any) -> None:
        norms = (made_tokens(self._form, made) - self._entered).float().norm(dim=-1)
        before = self._norms.get(tuple(norms.shape))
        if before is not None:
            ratio = (norms / before.clamp_min(1e-8)).mean().item()
            self.ratios[self.denoiser.newsreel_step].append(ratio)
        self._norms = {tuple(norms.shape): norms}

    def _embed(self, module: nn.Module, given: Any, made: Tensor) -> None:
        step = self.denoiser.newsreel_step
        self.embeddings[step] = made.detach().float().flatten(0, -2)[0].cpu().numpy()

    def _move(self, module: nn.Module, given: Any, made: Any) -> None:
        out = (made[0] if isinstance(made, tuple) else made.sample).detach().float()
        before = self._outputs.get(tuple(out.shape))
        if before is not None:
            moved = ((out - before).abs().mean() / before.abs().mean().clamp_min(1e-8)).item()
            self.moved[self.denoiser.newsreel_step].append(moved)
        self._outputs = {tuple(out.shape): out}


def make_fit(recorder: Recorder, plan: Plan, base: str) -> CacheFit:
    """The calibration from what was recorded; its usual thresholds are still to be measured."""
    steps = range(plan.num_inference_steps)
    changes = relative_changes(np.stack([recorder.embeddings[step] for step in steps]))
    polynomial = fit_polynomial(
        [changes[step] for step in steps for _ in recorder.moved[step]],
        [moved for step in steps for moved in recorder.moved[step]],
    )
    return CacheFit(
        base=base,
        scheduler=plan.scheduler,
        steps=len(steps),
        num_frames=plan.num_frames,
        guidance_scale=plan.guidance_scale,
        timesteps=plan.timesteps,
        magnitudes=tuple(_rounded(np.mean(recorder.ratios[step] or [1.0])) for step in steps),
        changes=tuple(map(_rounded, changes)),
        polynomial=tuple(float(f"{value:.8g}") for value in polynomial),
        usual={},
    )


def relative_changes(embeddings: np.ndarray) -> np.ndarray:
    """(S,): |e_i - e_(i-1)| / |e_(i-1)| in L1, of embeddings (S, D); 0 for the first."""
    moved = np.abs(np.diff(embeddings, axis=0)).mean(-1)
    return np.concatenate([[0.0], moved / np.abs(embeddings[:-1]).mean(-1)])


def fit_polynomial(changes: list[float], moved: list[float]) -> np.ndarray:
    """Least squares of what moved by the change of the embedding: the factors, the highest power
    first."""
    degree = min(DEGREE, len(set(changes)) - 1)
    return np.polynomial.Polynomial.fit(changes, moved, degree).convert().coef[::-1]


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")
