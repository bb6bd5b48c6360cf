"""How much noise there is at each of 1000 times, and which of them a run visits.

The log signal-to-noise ratio follows a cosine (Hoogeboom et al., simple diffusion, 2023), shifted
by 2 ln(1 / s) with s from 2 to 4 along time; then sigma is stretched so that the last one is 1
(Lin et al., zero terminal SNR, 2023). alpha^2 + sigma^2 = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

TIMES = 1000
START = 899
"""Where runs begin as published: nearly all of the source is under noise then."""
LOG_SNR = 15.0
SHIFT = (2.0, 4.0)
BEND = 500
"""The time at which the short schedule changes to smaller steps."""
SHORT = (4, 11)
"""Steps of the short schedule above and below the bend; the last one of them is left out."""


@lru_cache(maxsize=1)
def sigmas() -> Tensor:
    """(1000,) float32, growing to 1."""
    low, high = (math.atan(math.exp(-0.5 * end)) for end in (-LOG_SNR, LOG_SNR))
    back = torch.linspace(1, 0, TIMES)
    cosine = -2 * torch.log(torch.tan(low + back * (high - low)))
    shifted = [cosine + 2 * math.log(1 / by) for by in SHIFT]
    log_snr = back * shifted[0] + (1 - back) * shifted[1]
    sigma = torch.sqrt(torch.sigmoid(-log_snr))
    least, most = sigma.min(), sigma.max()
    return least + (1 - least) / (most - least) * (sigma - least)


@dataclass(frozen=True)
class Level:
    """One time that is visited. time: of 1000, whole, as the network is told. ratio: sigma / alpha
    at the exact time, which may lie between two. sigma, alpha: at the whole time.
    """

    time: int
    ratio: Tensor
    sigma: Tensor
    alpha: Tensor


def level_at(time: float) -> Level:
    """The logarithm of the ratio is linear between whole times. time: from 0 to 998."""
    table = sigmas()
    logs = torch.sqrt(table**2 / (1 - table**2)).log()
    exact = torch.tensor(time, dtype=torch.float32)
    low, high, part = int(exact.floor()), int(exact.ceil()), exact.frac()
    ratio = ((1 - part) * logs[low] + part * logs[high]).exp()
    whole = int(exact.round())
    return Level(whole, ratio, table[whole], torch.sqrt(1 - table[whole] ** 2))


def levels(evaluations: int, start: int = START) -> list[Level]:
    """The times of a run, from `start` down. evaluations: 14 takes the short schedule, which spends
    ten of them below time 500; others are spread evenly.
    """
    return [level_at(float(time)) for time in times(evaluations, start)]


def times(evaluations: int, start: int = START) -> Tensor:
    """(evaluations,) float32, falling. The step that would come last is left out: from there the
    clean latents are taken at once.
    """
    if evaluations == sum(SHORT) - 1:
        above, below = SHORT
        made = torch.cat([_falling(start, BEND, above), _falling(BEND, 0, below)])
    else:
        made = _falling(start, 0, evaluations + 1)
    return made[:evaluations].clamp(0, start)


def _falling(high: int, low: int, count: int) -> Tensor:
    return torch.arange(high, low - 1, -(high - low + 1) / count, dtype=torch.float32)
