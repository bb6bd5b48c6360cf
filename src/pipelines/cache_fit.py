"""What a calibration found out about a model, and which steps a cache may skip by it. Loads no
torch.

Two published caches decide when the transformer's blocks may be skipped and what they added at the
last computed step be added again. Both go by the schedule alone, so the steps are settled before a
run, stand in the plan, and replay.

* `magcache` (Ma et al., 2025, "MagCache", arXiv:2506.09045): a residual is what all blocks add to
  the tokens; gamma_i is the mean ratio of its norms at step i and at the step before. While steps
  are skipped, the product of their gammas says how far the kept residual is from the true one.
  Skipped as long as the sum of |1 - product| stays within the threshold, for at most three steps.
* `teacache` (Liu et al., 2024, "Timestep Embedding Tells: It's Time to Cache for Video Diffusion
  Model", arXiv:2411.19108): the relative L1 change of the timestep's embedding, through a
  polynomial, tells how far the model's output moved. Skipped while the sum of what is told stays
  below the threshold.

Never skipped: the first and the last step, MagCache's first fifth, and a step at which guidance
begins or ends, for the batch has another size there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from src.core.config import Config
from src.core.errors import BadInputError

FITTED = ("magcache", "teacache")
"""The caches that need a calibration."""
FILE = "step_caches.json"
"""Where it lies: in the model's folder."""
MOST_IN_A_ROW = 3
RETAINED = 0.2
"""MagCache's K and retention ratio, as published."""


class CacheFit(Config):
    """The calibration of one model.

    base: hash of the denoiser's weights (`locate.base_hash`). scheduler, steps, num_frames,
    guidance_scale: with which it was run. timesteps: visited, (S,), descending.
    magnitudes: gamma of each step, (S,); the first is 1. changes: relative L1 between the
    embeddings of two timesteps, (S, S), the later step's row. polynomial: the highest power first.
    reach: the least and the greatest change that it was fitted on. usual: each cache's threshold
    where a request names none.
    """

    base: str
    scheduler: str
    steps: int
    num_frames: int
    guidance_scale: float
    timesteps: tuple[float, ...]
    magnitudes: tuple[float, ...]
    changes: tuple[tuple[float, ...], ...]
    polynomial: tuple[float, ...]
    reach: tuple[float, float]
    usual: dict[str, float]


def read_fit(folder: Path, base: str, cache: str) -> CacheFit:
    """The calibration beside the model. Raises BadInputError with the command that makes it, where
    there is none, or one of other weights."""
    make = f"run python -m src.evaluation.calibrate --model {folder}"
    try:
        fit = CacheFit.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(
            f"--cache {cache} needs a calibration, and {folder} has none; {make}"
        ) from None
    except ValueError as error:
        raise BadInputError(f"{folder / FILE} is no calibration of step caches; {make}") from error
    if fit.base != base:
        raise BadInputError(f"{folder / FILE} was made with other weights; {make}")
    return fit


def text_of(fit: CacheFit) -> str:
    """As the file has it: a field a line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}"
             for key, value in fit.model_dump(mode="json").items()]  # fmt: skip
    return "{\n" + ",\n".join(lines) + "\n}\n"


def skipped_steps(
    fit: CacheFit,
    name: str,
    threshold: float,
    timesteps: Sequence[float],
    guidance: Sequence[float],
) -> tuple[int, ...]:
    """The numbers of the steps (from 0) whose blocks are skipped. threshold: 0 for the fit's usual
    one."""
    rule = _by_magnitude if name == "magcache" else _by_change
    must = [_must_be_computed(index, guidance) for index in range(len(timesteps))]
    return rule(fit, threshold or fit.usual[name], timesteps, must)


def _must_be_computed(index: int, guidance: Sequence[float]) -> bool:
    if index in (0, len(guidance) - 1):
        return True
    return (guidance[index] > 1) != (guidance[index - 1] > 1)


def _by_magnitude(
    fit: CacheFit, threshold: float, timesteps: Sequence[float], must: Sequence[bool]
) -> tuple[int, ...]:
    skipped, product, error, row = [], 1.0, 0.0, 0
    retained = int(RETAINED * len(timesteps) + 0.5)
    for index, forced in enumerate(must):
        product *= _magnitude(fit, timesteps, index)
        error, row = error + abs(1 - product), row + 1
        if forced or index < retained or error > threshold or row > MOST_IN_A_ROW:
            product, error, row = 1.0, 0.0, 0
        else:
            skipped.append(index)
    return tuple(skipped)


def _by_change(
    fit: CacheFit, threshold: float, timesteps: Sequence[float], must: Sequence[bool]
) -> tuple[int, ...]:
    skipped, moved = [], 0.0
    for index, forced in enumerate(must):
        moved += _told(fit, timesteps[index - 1], timesteps[index]) if index else 0.0
        if forced or moved >= threshold:
            moved = 0.0
        else:
            skipped.append(index)
    return tuple(skipped)


def _magnitude(fit: CacheFit, timesteps: Sequence[float], index: int) -> float:
    """gamma of a step of any schedule: that of the calibrated one at the same timestep, to the
    power of how many of its steps this one is long."""
    if index == 0:
        return 1.0
    there, before = (_place(fit, timesteps[i]) for i in (index, index - 1))
    return _between(fit.magnitudes, there) ** (there - before)


def _told(fit: CacheFit, before: float, now: float) -> float:
    """How far the output moves between two timesteps, by the polynomial."""
    place = _place(fit, before)
    change = _between([_between(row, place) for row in fit.changes], _place(fit, now))
    change = min(max(change, fit.reach[0]), fit.reach[1])
    told = 0.0
    for factor in fit.polynomial:
        told = told * change + factor
    return max(told, 0.0)


def _place(fit: CacheFit, timestep: float) -> float:
    """Where a timestep lies in the calibrated schedule, in its steps."""
    known = fit.timesteps
    if timestep >= known[0]:
        return 0.0
    for index in range(1, len(known)):
        if timestep >= known[index]:
            width = known[index - 1] - known[index]
            return index - (timestep - known[index]) / width
    return float(len(known) - 1)


def _between(values: Sequence[float], place: float) -> float:
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])
