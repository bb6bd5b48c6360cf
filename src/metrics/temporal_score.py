"""The temporal score: from the measures of all pairs to one number, the local curve and the worst
moment.

For each pair t of neighbouring frames, v_t(b) is the block-mean flow and m_t(b) the block-mean
length of the flow, in frame diagonals a second, and w_t(b) the share of the block where forward and
backward flow agree. What smooth motion does not explain is

    r_t = v_t - (v_{t-1} + v_{t+1}) / 2               neighbours weighted by time where the rate
                                                      varies; the flow's own noise is taken off the
    mean of |r|^2 V   = 2/3 mean w |r|^2 / (mean w m^2 + M0^2)      w the least of the three; 2/3:
    the variance of white motion

Five terms say how near a clip is to the limit of what is acceptable, which is 1:

    motion    max(V over the clip / V0, V over the worst WINDOW residuals / VPEAK0)
    event     largest ((x_t - x') / (E0 + x'))^2: x_t the unexplained share of a pair, x' its
    neighbours' median disorder  mean unexplained share / X0
    noise     (difference along the flow in the calmest quarter of the blocks, median over the clip
    / N0)^2 light     (root mean square of the change of brightness along the flow that neighbours
    do not explain / L0)^2

and the worst decides: score = 0.6 ** max(terms), so that 0.6 is the limit whatever is wrong.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from src.core.errors import NotFiniteError
from src.metrics.temporal_pair import PairMeasures
from src.metrics.temporal_report import TemporalReport
from src.metrics.temporal_worst import worst_moment

VERSION = "1"
ACCEPTED_FROM = 0.6
M0 = 0.01
"""Diagonals a second: below this speed, residual motion is measured against M0, not against the
motion.
"""
V0 = 0.06
VPEAK0 = 0.25
FLOW_NOISE = 0.06 / 433
"""Diagonals a frame: what the flow itself cannot resolve, 0.06 pixels of 360x240; at a high frame
rate it would otherwise be taken for jitter, since the motion between two frames becomes small.
"""
WINDOW = 6
E0 = 0.02
NEIGHBOURS = 9
"""Pairs whose median is the usual unexplained share of a frame."""
X0 = 0.3
N0 = 3.5
L0 = 0.025
STATIC_DRIFT = 3.0
"""Grey levels by which the worst block of the worst frame may leave the first frame in a static
clip.
"""


@dataclass
class _Pairs:
    """Scalars of every pair, some eighty bytes each: all that is kept of a clip."""

    residual: list[float] = field(default_factory=list)
    motion: list[float] = field(default_factory=list)
    unexplained: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    warping_error: list[float] = field(default_factory=list)
    difference: list[float] = field(default_factory=list)
    fastest: list[float] = field(default_factory=list)
    duplicate: list[bool] = field(default_factory=list)
    cut: list[bool] = field(default_factory=list)


_AS_MEASURED = (
    "unexplained",
    "noise",
    "brightness",
    "warping_error",
    "difference",
    "fastest",
    "duplicate",
    "cut",
)


@dataclass(frozen=True)
class _Motion:
    """One pair's motion: velocity (R, C, 2) and speed (R, C) a second, trust (R, C), the time of
    its middle.
    """

    velocity: np.ndarray
    speed: np.ndarray
    trusted: np.ndarray
    time: float
    seconds: float


def _unexplained(
    before: _Motion | None, now: _Motion, after: _Motion | None
) -> tuple[float, float]:
    """mean w |r|^2 and mean w m^2 over the blocks; at an end of the clip one neighbour is None."""
    beside = [motion for motion in (before, after) if motion is not None]
    trust = np.minimum.reduce([now.trusted, *(motion.trusted for motion in beside)])
    scale = 1.0
    expected = now.velocity
    if len(beside) == 1:
        # the same mean for white motion as with two neighbours
        expected, scale = beside[0].velocity, 0.75
    elif before is not None and after is not None:
        weight = (now.time - before.time) / (after.time - before.time)
        expected = (1 - weight) * before.velocity + weight * after.velocity
    residual = scale * np.square(now.velocity - expected).sum(-1) - (FLOW_NOISE / now.seconds) ** 2
    return max(0.0, float((trust * residual).mean())), float((trust * np.square(now.speed)).mean())


class ScoreFold:
    """Takes the measures of one pair after another, in order, and keeps scalars only."""

    def __init__(self) -> None:
        self._pairs = _Pairs()
        self._recent: list[_Motion] = []
        self._clock = 0.0

    def update(self, measures: PairMeasures, seconds: float) -> None:
        """Add a pair whose frames are `seconds` apart."""
        for name in _AS_MEASURED:
            getattr(self._pairs, name).append(getattr(measures, name))
        per_second = np.float32(1 / seconds)
        velocity, speed = measures.velocity * per_second, measures.magnitude * per_second
        self._recent.append(
            _Motion(velocity, speed, measures.trusted, self._clock + seconds / 2, seconds)
        )
        self._clock += seconds
        if len(self._recent) >= 2:
            self._settle(
                self._recent[-3] if len(self._recent) > 2 else None,
                self._recent[-2],
                self._recent[-1],
            )
        del self._recent[:-2]

    def _settle(self, before: _Motion | None, now: _Motion, after: _Motion | None) -> None:
        residual, motion = _unexplained(before, now, after)
        self._pairs.residual.append(residual)
        self._pairs.motion.append(motion)

    def finish(self, shape: tuple[int, int], drift: float, flat: bool = False) -> TemporalReport:
        """The report of at least one pair; shape: (h, w) of the analysis picture, drift: see
        STATIC_DRIFT.

        flat: no frame shows anything; such a clip is never accepted. Raises NotFiniteError where a
        measure is none.
        """
        self._settle(self._recent[-2] if len(self._recent) > 1 else None, self._recent[-1], None)
        p = {
            name: np.asarray(values, dtype=np.float64) for name, values in vars(self._pairs).items()
        }
        p["light"] = _light(p["brightness"])
        local = local_terms(p)
        _check_finite(p, local)
        score = round(ACCEPTED_FROM ** max(clip_terms(p).values()), 4)
        curve = ACCEPTED_FROM ** np.max(list(local.values()), axis=0)
        static, accepted = drift < STATIC_DRIFT, score >= ACCEPTED_FROM and not flat
        return TemporalReport(
            score=score,
            accepted=accepted,
            static=static,
            version=VERSION,
            frames=len(curve) + 1,
            warping_error=round(float(p["warping_error"].mean()), 3),
            duplicate_fraction=round(float(p["duplicate"].mean()), 4),
            dynamic_degree=round(
                float(p["fastest"].mean() * np.hypot(*shape) / min(shape) * 256), 3
            ),
            flicker=round(1 - float(p["difference"].mean()) / 255, 4),
            curve=tuple(round(float(x), 4) for x in curve),
            worst=worst_moment(p, curve, local, static, accepted),
            flat=flat,
        )


def _check_finite(p: dict[str, np.ndarray], local: dict[str, np.ndarray]) -> None:
    for name, values in (p | local).items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            pair = int(wrong[0])
            raise NotFiniteError(
                f"the temporal score's {name} of frames {pair}-{pair + 1} is not finite; likely "
                "frames that are damaged"
            )


def _around(values: np.ndarray, width: int) -> np.ndarray:
    """(F - 1, width): the neighbourhood of each pair; at the ends of the clip it stops moving."""
    width = min(width, len(values))
    views = sliding_window_view(values, width)
    return views[np.clip(np.arange(len(values)) - width // 2, 0, len(views) - 1)]


def _light(brightness: np.ndarray) -> np.ndarray:
    """Change of light that the neighbours do not explain, (F - 1,)."""
    if len(brightness) < 2:
        return np.zeros_like(brightness)
    padded = np.concatenate([brightness[1:2], brightness, brightness[-2:-1]])
    return brightness - (padded[:-2] + padded[2:]) / 2


def _ratio(residual: np.ndarray, motion: np.ndarray) -> np.ndarray:
    return 2 / 3 * residual / (motion + M0**2)


def _event(unexplained: np.ndarray) -> np.ndarray:
    """How far the unexplained share of each pair stands above what is usual around it, squared, (F
    - 1,).
    """
    usual = np.median(_around(unexplained, NEIGHBOURS), axis=1)
    return np.square(np.maximum(unexplained - usual, 0) / (E0 + usual))


def clip_terms(p: dict[str, np.ndarray]) -> dict[str, float]:
    """The terms over the whole clip, by name; p holds an array (F - 1,) for each field of a pair,
    and light.
    """
    local = local_terms(p)
    whole = float(_ratio(p["residual"].mean(), p["motion"].mean())) / V0
    return {
        "motion": max(whole, float(local["motion"].max())),
        "event": float(local["event"].max()),
        "disorder": float(p["unexplained"].mean()) / X0,
        "noise": (float(np.median(p["noise"])) / N0) ** 2,
        "light": float(np.square(p["light"]).mean()) / L0**2,
    }


def local_terms(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The terms around each pair, (F - 1,) each: what the curve is made of."""
    residual, motion = (_around(p[name], WINDOW).mean(axis=1) for name in ("residual", "motion"))
    return {
        "motion": _ratio(residual, motion) / VPEAK0,
        "event": _event(p["unexplained"]),
        "disorder": _around(p["unexplained"], WINDOW).mean(axis=1) / X0,
        "noise": np.square(_around(p["noise"], WINDOW).mean(axis=1) / N0),
        "light": np.square(_around(p["light"], WINDOW)).mean(axis=1) / L0**2,
    }
