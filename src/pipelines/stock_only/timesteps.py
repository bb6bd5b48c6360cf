"""What the stock schedulers of these families visit, from their configurations. Imports no torch.

s is the noise level, 1 for noise alone. Flow matching moves evenly spaced levels towards the noisy
end: s' = a s / (1 + (a - 1) s), with a the shift (arXiv:2403.03206, equation 23).
"""

import numpy as np

from src.catalog.spec import Schedule

EPSILON = 1e-6


def unipc_flow(count: int, schedule: Schedule) -> tuple[float, ...]:
    """UniPC on flow sigmas: whole numbers, cut off."""
    levels = shifted(np.linspace(1, 1 / schedule.train_timesteps, count + 1)[:-1], schedule.shift)
    if abs(levels[0] - 1) < EPSILON:
        levels[0] -= EPSILON
    return tuple(int(level * schedule.train_timesteps) for level in levels)


def shifted(levels: np.ndarray, shift: float) -> np.ndarray:
    """By the formula above."""
    return shift * levels / (1 + (shift - 1) * levels)
