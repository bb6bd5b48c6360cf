"""What the stock schedulers of these families visit, from their configurations. Imports no torch.

s is the noise level, 1 for noise alone. Flow matching moves evenly spaced levels towards the noisy
end: s' = a s / (1 + (a - 1) s), with a the shift (arXiv:2403.03206, equation 23).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.catalog.spec import ModelSpec, Schedule
from src.core.errors import BadInputError
from src.core.plan import Plan, Size
from src.pipelines.family import Timesteps

EPSILON = 1e-6
FEWEST = 2
"""Steps: a last noise level that is given leaves no room for one alone."""
OTHER_LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""Switches by which a scheduler visits other levels."""
SHIFTS = (
    ("base_shift", 0.5), ("max_shift", 1.15), ("base_image_seq_len", 256),
    ("max_image_seq_len", 4096),
)  # fmt: skip
"""Of noise levels that depend on a clip's tokens, and what they are unless a file says them."""


def unipc_schedule(scheduler: Mapping[str, Any]) -> Schedule:
    """What the configuration of such a scheduler says. Raises ValueError for another kind."""
    if not scheduler.get("use_flow_sigmas") or scheduler.get("use_dynamic_shifting"):
        raise ValueError("its scheduler does not match flows with one shift")
    _check_levels(scheduler, (*OTHER_LEVELS, "shift_terminal"))
    return Schedule(
        shift=scheduler.get("flow_shift", 1.0),
        train_timesteps=scheduler.get("num_train_timesteps", 1000),
    )


def euler_schedule(scheduler: Mapping[str, Any]) -> Schedule:
    """What the configuration of an Euler scheduler of flows says. Raises ValueError for noise
    levels of another kind."""
    _check_levels(scheduler, (*OTHER_LEVELS, "invert_sigmas"))
    dynamic = scheduler.get("use_dynamic_shifting", False)
    if dynamic and scheduler.get("time_shift_type", "exponential") != "exponential":
        raise ValueError("its scheduler does not shift exponentially")
    shifts = tuple(scheduler.get(name, usual) for name, usual in SHIFTS)
    return Schedule(
        shift=scheduler.get("shift", 1.0),
        shifts=shifts if dynamic else None,
        terminal=scheduler.get("shift_terminal"),
        train_timesteps=scheduler.get("num_train_timesteps", 1000),
    )


def _check_levels(scheduler: Mapping[str, Any], others: tuple[str, ...]) -> None:
    if other := [name for name in others if scheduler.get(name)]:
        raise ValueError(f"its scheduler has {other[0]}, which is not known here")


def unipc_flow(count: int, schedule: Schedule) -> tuple[float, ...]:
    """UniPC on flow sigmas: whole numbers, cut off."""
    levels = shifted(np.linspace(1, 1 / schedule.train_timesteps, count + 1)[:-1], schedule.shift)
    if abs(levels[0] - 1) < EPSILON:
        levels[0] -= EPSILON
    return tuple(int(level * schedule.train_timesteps) for level in levels)


def shifted(levels: np.ndarray, shift: float) -> np.ndarray:
    """By the formula above."""
    return shift * levels / (1 + (shift - 1) * levels)


def flow_mu(tokens: int, schedule: Schedule) -> float | None:
    """The logarithm of the shift for a clip of so many tokens, linear between two known ones; None
    where the shift is the same for all."""
    if schedule.shifts is None:
        return None
    base, most, fewest, longest = schedule.shifts
    slope = (most - base) / (longest - fewest)
    return tokens * slope + base - slope * fewest


def ltx_token_count(size: Size, frames: int) -> int:
    """Tokens of a clip of LTX-Video and LTX-2: latent cells of 8 frames and 32 x 32 pixels."""
    return ((frames - 1) // 8 + 1) * (size.height // 32) * (size.width // 32)


def tokens_timesteps(count: int, spec: ModelSpec, num_frames: int | None) -> Timesteps:
    """What the Euler scheduler visits for a clip of so many frames, the model's own count unless
    given. Raises BadInputError for one step where the last noise level is given."""
    if count < FEWEST and spec.schedule.terminal:
        raise BadInputError(f"the scheduler of {spec.id} cannot make 1 step; take {FEWEST}")
    tokens = ltx_token_count(spec.native, num_frames or spec.defaults.num_frames)
    return Timesteps(*euler_flow(count, flow_mu(tokens, spec.schedule), spec.schedule))


def tokens_scheduler(stock: Any, plan: Plan, device: str) -> Any:
    """A fresh one on the checkpoint's own configuration, at the plan's steps and for its tokens, as
    the stock pipelines of LTX-Video and LTX-2 set them."""
    made, count = type(stock).from_config(stock.config), plan.num_inference_steps
    made.set_timesteps(
        sigmas=np.linspace(1.0, 1 / count, count),
        mu=flow_mu(ltx_token_count(plan.native, plan.num_frames), euler_schedule(stock.config)),
        device=device,
    )
    return made


def euler_flow(
    count: int, mu: float | None, schedule: Schedule
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Timesteps and noise levels of the Euler scheduler on levels from 1 to 1/count."""
    shift = schedule.shift if mu is None else float(np.exp(mu))
    levels = shifted(np.linspace(1, 1 / count, count), shift)
    if schedule.terminal:
        levels = 1 - (1 - levels) * (1 - schedule.terminal) / max(1 - levels[-1], EPSILON)
    made = tuple(float(level) for level in levels.astype(np.float32))
    return tuple(level * schedule.train_timesteps for level in made), made
