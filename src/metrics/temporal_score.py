"""The temporal score: from the measures of all pairs to one number, the local curve and the worst moment.

For each pair t of neighbouring frames, v_t(b) is the block-mean flow and m_t(b) the block-mean length of the flow,
in frame diagonals a second. What smooth motion does not explain is

    r_t = v_t - (v_{t-1} + v_{t+1}) / 2          (neighbours weighted by time where the rate varies)
    V   = 2/3 mean |r|^2 / (mean m^2 + m0^2)      2/3 makes it the variance of independent velocities

over the clip, and V_peak the largest such ratio in a window of WINDOW residuals. Noise and changes of light that
motion does not carry have terms of their own; the worst term decides:

    D = max(V / c, V_peak / 2c, (noise / n0)^2 / 2, (light / l0)^2 / 2)       score = exp(-D)

so that 0.6 is reached when a term's limit (sqrt(2 * 0.51) n0 or l0, about n0 or l0) is.
"""

from dataclasses import dataclass, field

import numpy as np

from src.metrics.temporal_pair import PairMeasures
from src.metrics.temporal_report import Cause, TemporalReport, WorstMoment

VERSION = "1"
ACCEPTED_FROM = 0.6
M0 = 0.01
"""Diagonals a second: below this speed, residual motion is measured against M0, not against the motion."""
C = 0.25
WINDOW = 6
N0 = 4.0
"""Grey levels of difference along the flow in the calmest quarter of the picture."""
L0 = 0.025
"""Root mean square of the unexplained change of light, as a logarithm (0.025 is 2.5 %)."""
FREEZE_RUN = 5
"""Duplicate pairs in a row that count as a freeze; fewer are a stutter."""
STATIC_DRIFT = 3.0
"""Grey levels by which the worst block of the worst frame may leave the first frame in a static clip."""


@dataclass
class _Pairs:
    """Scalars of every pair, some eighty bytes each: all that is kept of a clip."""

    residual: list[float] = field(default_factory=list)
    motion: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    warping_error: list[float] = field(default_factory=list)
    difference: list[float] = field(default_factory=list)
    fastest: list[float] = field(default_factory=list)
    duplicate: list[bool] = field(default_factory=list)
    cut: list[bool] = field(default_factory=list)


def _unexplained(before, now, after) -> float:
    """mean |r|^2 over the blocks; each argument is (velocity a second, time), the missing one at an end None."""
    if before is None and after is None:
        return 0.0
    if before is None or after is None:
        beside = after if before is None else before
        return 0.75 * float(np.square(now[0] - beside[0]).sum(-1).mean())  # 0.75: same mean for white velocities
    weight = (now[1] - before[1]) / (after[1] - before[1])
    expected = (1 - weight) * before[0] + weight * after[0]
    return float(np.square(now[0] - expected).sum(-1).mean())


class ScoreFold:
    """Takes the measures of one pair after another, in order, and keeps scalars only."""

    def __init__(self) -> None:
        self._pairs = _Pairs()
        self._recent: list[tuple[np.ndarray, float]] = []
        self._clock = 0.0

    def update(self, measures: PairMeasures, seconds: float) -> None:
        """Add a pair whose frames are `seconds` apart."""
        pairs = self._pairs
        pairs.motion.append(float(np.square(measures.magnitude / seconds).mean()))
        for name in ("noise", "brightness", "warping_error", "difference", "fastest", "duplicate", "cut"):
            getattr(pairs, name).append(getattr(measures, name))
        self._recent.append((measures.velocity / np.float32(seconds), self._clock + seconds / 2))
        self._clock += seconds
        if len(self._recent) >= 2:
            self._settle(self._recent[-3] if len(self._recent) > 2 else None, self._recent[-2], self._recent[-1])
        del self._recent[:-2]

    def _settle(self, before, now, after) -> None:
        self._pairs.residual.append(_unexplained(before, now, after))

    def finish(self, shape: tuple[int, int], drift: float) -> TemporalReport:
        """The report; shape: (h, w) of the analysis picture, drift: see STATIC_DRIFT. At least one pair is needed."""
        self._settle(self._recent[-2] if len(self._recent) > 1 else None, self._recent[-1], None)
        p = {name: np.asarray(values, dtype=np.float64) for name, values in vars(self._pairs).items()}
        terms = local_terms(p)
        score = float(np.exp(-max(clip_terms(p).values())))
        curve = np.exp(-np.max(list(terms.values()), axis=0))
        static = drift < STATIC_DRIFT
        diagonal = float(np.hypot(*shape))
        return TemporalReport(
            score=round(score, 4),
            accepted=round(score, 4) >= ACCEPTED_FROM,
            static=static,
            version=VERSION,
            frames=len(curve) + 1,
            warping_error=round(float(p["warping_error"].mean()), 3),
            duplicate_fraction=round(float(p["duplicate"].mean()), 4),
            dynamic_degree=round(float(p["fastest"].mean() * diagonal / min(shape) * 256), 3),
            flicker=round(1 - float(p["difference"].mean()) / 255, 4),
            curve=tuple(round(float(x), 4) for x in curve),
            worst=_worst(p, curve, terms, static),
        )


def _ratio(residual: np.ndarray, motion: np.ndarray) -> float:
    return 2 / 3 * float(residual.mean()) / (float(motion.mean()) + M0**2)


def _windows(values: np.ndarray) -> np.ndarray:
    """Moving mean over WINDOW neighbours, (F - 1,); at the ends the window stops moving."""
    width = min(WINDOW, len(values))
    means = np.convolve(values, np.ones(width) / width, "valid")
    start = np.clip(np.arange(len(values)) - width // 2, 0, len(means) - 1)
    return means[start]


def _light(brightness: np.ndarray) -> np.ndarray:
    """Change of light that the neighbours do not explain, (F - 1,)."""
    if len(brightness) < 2:
        return np.zeros_like(brightness)
    padded = np.concatenate([brightness[1:2], brightness, brightness[-2:-1]])
    return brightness - (padded[:-2] + padded[2:]) / 2


def clip_terms(p: dict[str, np.ndarray]) -> dict[str, float]:
    """The terms of D over the whole clip, by name."""
    motion = max(_ratio(p["residual"], p["motion"]), float(_peaks(p).max()) / 2)
    light = float(np.sqrt(np.square(_light(p["brightness"])).mean()))
    return {
        "motion": motion / C,
        "noise": (float(np.median(p["noise"])) / N0) ** 2 / 2,
        "light": (light / L0) ** 2 / 2,
    }


def _peaks(p: dict[str, np.ndarray]) -> np.ndarray:
    """The ratio V in the window around each pair."""
    return 2 / 3 * _windows(p["residual"]) / (_windows(p["motion"]) + M0**2)


def local_terms(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The terms of D around each pair, (F - 1,) each: what the curve is made of."""
    return {
        "motion": _peaks(p) / (2 * C),
        "noise": np.square(_windows(p["noise"]) / N0) / 2,
        "light": np.square(_light(p["brightness"]) / L0) / 4,
    }


def _worst(p: dict, curve: np.ndarray, terms: dict[str, np.ndarray], static: bool) -> WorstMoment:
    if static:
        return WorstMoment((0, len(curve)), "freeze")
    around = int(curve.argmin())
    low = max(0, around - WINDOW // 2)
    window = slice(low, around + WINDOW // 2 + 1)
    pair = low + int(p["residual"][window].argmax())
    if curve[around] >= 0.9:
        return WorstMoment((pair, pair + 1), "none")
    return _explained(p, terms, window, pair)


def _explained(p: dict, terms: dict[str, np.ndarray], window: slice, pair: int) -> WorstMoment:
    """Name the cause within the worst window; the clearest evidence is asked first."""
    run = _duplicate_run(p["duplicate"], window)
    light = np.abs(_light(p["brightness"]))
    cause: Cause = "jitter"
    frames = (pair, pair + 1)
    if 0 < p["cut"][window].sum() <= 2:
        cause, at = "cut", int(window.start + p["cut"][window].argmax())
        frames = (at, at + 1)
    elif run is not None:
        cause = "freeze" if run[1] - run[0] >= FREEZE_RUN else "stutter"
        frames = run
    elif np.median(p["noise"][window]) > N0:
        cause = "noise"
    elif light[window].max() > L0:
        cause, at = "flicker", int(window.start + light[window].argmax())
        frames = (at, at + 1)
    return WorstMoment(frames, cause)


def _duplicate_run(duplicate: np.ndarray, window: slice) -> tuple[int, int] | None:
    """First and last frame of the longest run of duplicate pairs that touches the window."""
    best, start = None, None
    for i, same in enumerate([*duplicate.astype(bool), False]):
        if same and start is None:
            start = i
        elif not same and start is not None:
            touches = start < window.stop and i > window.start
            if touches and (best is None or i - start > best[1] - best[0]):
                best = (start, i)
            start = None
    return best
