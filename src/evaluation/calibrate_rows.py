"""What a calibrated cache saves and costs: each threshold against the same steps uncached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from src.core.errors import BadInputError
from src.core.plan import Cache, Plan
from src.engine.costs import Stopwatch
from src.engine.render import render_clip
from src.evaluation.cache_recording import Recorder, make_fit
from src.evaluation.quality_rows import Bench, BenchScene
from src.metrics.clip_figures import figures_of
from src.metrics.psnr import psnr
from src.pipelines.cache_fit import CacheFit, skipped_steps
from src.pipelines.families import family_of
from src.pipelines.family import Part, parts_of

LEAST_PSNR = 30.0
"""To the uncached clip, in dB: what a cache may cost to be taken without a threshold."""
THRESHOLDS = {
    "magcache": (0.01, 0.03, 0.06, 0.12, 0.24),
    "teacache": (0.02, 0.05, 0.1, 0.2, 0.4),
}
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A clip and what it took. seconds: of denoising. right: whether the move is the prompt's."""

    frames: np.ndarray
    seconds: float
    score: float
    first_frame: float
    right: bool


@dataclass(frozen=True)
class CacheRow:
    """One cache at one threshold, over all clips; cache "none" is the uncached clips.

    skipped: steps. speed: denoising seconds uncached over these, the median of the clips. psnr: to
    the uncached clip, dB, mean; None for it itself. score: temporal, 0 to 100. first_frame: PSNR
    to the photograph, dB. right: clips with the prompt's move.
    """

    cache: str
    threshold: float
    steps: int
    skipped: int
    speed: float
    psnr: float | None
    score: float
    first_frame: float
    right: int
    clips: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


class Calibration:
    """Runs one model's clips without a cache, fits, and tries thresholds.

    changes: what differs from a plain request (steps, frames, guidance).
    """

    def __init__(
        self, bench: Bench, scenes: Sequence[BenchScene], changes: dict[str, Any], tell: Tell
    ) -> None:
        self.bench, self.scenes, self.tell = bench, scenes, tell
        self.plans = [bench.plan(scene, changes) for scene in scenes]
        self.part = _calibrated_part(bench)
        self.uncached: list[Made] = []

    def fit(self, base: str) -> CacheFit:
        """Run all clips uncached twice, once recorded and once timed, and fit."""
        session = self.bench.sessions.opener(self.bench.folder)(self.plans[0])
        recorder = Recorder(getattr(session.load(), self.part.name), self.part)
        for scene, plan in zip(self.scenes, self.plans, strict=True):
            with recorder.run():
                self._frames(plan, scene)
            self.uncached.append(self._make(plan, scene))
            self.tell(f"uncached: {scene.name}, {scene.move}: {self.uncached[-1].seconds:.1f} s")
        return make_fit(recorder, self.plans[0], base)

    def rows(self, fit: CacheFit) -> Iterator[CacheRow]:
        """The uncached clips, then each cache at each threshold that skips other steps."""
        yield self._row("none", 0.0, (), self.uncached)
        for name, thresholds in THRESHOLDS.items():
            tried: set[tuple[int, ...]] = {()}
            for threshold in thresholds:
                plan = self.plans[0]
                skipped = skipped_steps(fit, name, threshold, plan.timesteps, plan.guidance)
                if skipped not in tried:
                    tried.add(skipped)
                    yield self._try(Cache(name=name, threshold=threshold, skipped=skipped))

    def _try(self, cache: Cache) -> CacheRow:
        made = [
            self._make(plan.model_copy(update={"cache": cache}), scene)
            for plan, scene in zip(self.plans, self.scenes, strict=True)
        ]
        row = self._row(cache.name, cache.threshold, cache.skipped, made)
        self.tell(f"{cache.name}={cache.threshold:g}: {row.skipped} of {row.steps} steps skipped, "
                  f"{row.speed:.2f} times as fast, {row.psnr:.1f} dB")  # fmt: skip
        return row

    def _row(
        self, name: str, threshold: float, skipped: Sequence[int], made: list[Made]
    ) -> CacheRow:
        pairs = list(zip(self.uncached, made, strict=True))
        return CacheRow(
            name, threshold, self.plans[0].num_inference_steps, len(skipped),
            speed=statistics.median(before.seconds / now.seconds for before, now in pairs),
            psnr=statistics.fmean(psnr(now.frames, before.frames) for before, now in pairs)
            if skipped else None,
            score=100 * statistics.fmean(clip.score for clip in made),
            first_frame=statistics.fmean(clip.first_frame for clip in made),
            right=sum(clip.right for clip in made), clips=len(made),
        )  # fmt: skip

    def _frames(self, plan: Plan, scene: BenchScene) -> tuple[np.ndarray, float]:
        watch, session = Stopwatch(), self.bench.sessions.opener(self.bench.folder)(plan)
        frames = render_clip(scene.photograph, plan, session, watch)
        return frames, watch.seconds["denoise"]

    def _make(self, plan: Plan, scene: BenchScene) -> Made:
        frames, seconds = self._frames(plan, scene)
        figures = figures_of(frames, scene.photograph, plan.fps)
        return Made(
            frames, seconds, figures.temporal_score, figures.first_frame, figures.move == scene.move
        )


def _calibrated_part(bench: Bench) -> Part:
    """What denoises. Raises BadInputError for a family whose steps are not skipped."""
    part = parts_of(family_of(bench.spec), "denoiser")[0]
    if not part.time:
        raise BadInputError(
            f"{bench.spec.id} is not calibrated: its family has no loop of ours, or tells no layer "
            "that embeds its timesteps"
        )
    return part


def usual_thresholds(rows: Sequence[CacheRow]) -> dict[str, float]:
    """Of each cache the fastest threshold that costs no more than LEAST_PSNR and no direction; the
    least one tried where none does."""
    plain = next(row for row in rows if row.cache == "none")
    usual = {}
    for name, thresholds in THRESHOLDS.items():
        good = [row for row in rows if row.cache == name and (row.psnr or 0) >= LEAST_PSNR
                and row.right >= plain.right]  # fmt: skip
        best = max(good, key=lambda row: row.skipped, default=None)
        usual[name] = best.threshold if best else thresholds[0]
    return usual
