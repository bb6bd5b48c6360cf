"""Where a clip is worst, and why."""

import numpy as np

from src.metrics.temporal_report import Cause, WorstMoment

FREEZE_RUN = 5
"""Duplicate pairs in a row that count as a freeze; fewer are a stutter."""
FINE_FROM = 0.85
"""Local score from which nothing is amiss."""
FLICKER_STEP, FLICKER_COUNT = 0.025, 4
"""Unexplained changes of light of this size, so many of them in the window, are flicker in a clear
picture.
"""
CLEAR = 0.15
"""Unexplained share of the picture up to which motion is still followed."""
_REACH = 3
"""Pairs on either side of the worst one in which the evidence is looked for."""

_BY_TERM: dict[str, Cause] = {
    "noise": "noise",
    "light": "flicker",
    "event": "glitch",
    "motion": "jitter",
    "disorder": "jitter",
}


def worst_moment(
    p: dict[str, np.ndarray],
    curve: np.ndarray,
    terms: dict[str, np.ndarray],
    static: bool,
    accepted: bool,
) -> WorstMoment:
    """The moment and its cause, from the scalars of all pairs, the local curve and its terms, (F -
    1,) each.

    A rejected clip always has a cause, also where the fault is small everywhere and only adds up.
    """
    if static:
        return WorstMoment((0, len(curve)), "freeze")
    around = int(curve.argmin())
    window = slice(max(0, around - _REACH), around + _REACH + 1)
    leading = max(terms, key=lambda name: terms[name][around])
    by = p["unexplained"] if leading == "event" else p["residual"]
    pair = window.start + int(by[window].argmax())
    if accepted and curve[around] >= FINE_FROM:
        return WorstMoment((pair, pair + 1), "none")
    return _explained(p, window, pair, _BY_TERM[leading])


def _explained(p: dict[str, np.ndarray], window: slice, pair: int, leading: Cause) -> WorstMoment:
    """Cuts and repeated frames leave traces of their own; otherwise the leading term names the
    cause.
    """
    run = _duplicate_run(p["duplicate"].astype(bool), window)
    steps = np.abs(p["light"][window]) > FLICKER_STEP
    if steps.sum() >= FLICKER_COUNT and np.median(p["unexplained"][window]) < CLEAR:
        return WorstMoment((pair, pair + 1), "flicker")
    if p["cut"][window].sum() == 1:
        at = window.start + int(p["cut"][window].argmax())
        return WorstMoment((at, at + 1), "cut")
    if run is not None and leading not in ("noise", "flicker"):
        return WorstMoment(run, "freeze" if run[1] - run[0] >= FREEZE_RUN else "stutter")
    if leading in ("glitch", "noise") and np.median(p["unexplained"][window]) > CLEAR:
        leading = "jitter"  # not one break, and more than grain: disorder throughout
    return WorstMoment((pair, pair + 1), leading)


def _duplicate_run(duplicate: np.ndarray, window: slice) -> tuple[int, int] | None:
    """First and last frame of the longest run of duplicate pairs that touches the window, None
    without one.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], duplicate, [False]]).astype(int)))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    touching = [run for run in runs if run[0] < window.stop and run[1] > window.start]
    return max(touching, key=lambda run: run[1] - run[0], default=None)
