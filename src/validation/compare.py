"""Clips of the base and of the adapter, measured alike,
and what that says against the thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.core.config import Config
from src.core.progress import Listener, Progress, ignore
from src.core.request import Request
from src.engine.generate import plans_for, prepare
from src.engine.probe import probe
from src.engine.render import fitted, render_clip
from src.engine.sessions import Sessions
from src.media.writer import VideoWriter
from src.metrics.clip_figures import Figures, figures_of
from src.metrics.trained_motion import likeness, motion_in, motion_of
from src.scenes.moves import TAUGHT
from src.validation.scenarios import Scenario, Scenarios, Thresholds, as_request, photograph_file

KINDS = ("base", "adapter")


@dataclass(frozen=True)
class ClipFigures(Figures):
    """One clip at native size. cosine, strength, shown: against the trained move, None without
    one.
    """

    file: str
    cosine: float | None
    strength: float | None
    shown: bool | None


@dataclass(frozen=True)
class ThresholdResult:
    """One threshold. reached is None where it could not be judged."""

    name: str
    wanted: str
    found: str
    reached: bool | None


def compare_clips(
    scenarios: Scenarios, lora: Path, folder: Path, listener: Listener = ignore
) -> dict[str, dict[str, ClipFigures]]:
    """Make and measure every clip; figures by scenario, then by kind. Clips and photographs go into
    `folder`.
    """
    hardware, sessions = probe("auto"), Sessions()
    figures: dict[str, dict[str, ClipFigures]] = {
        scenario.name: {} for scenario in scenarios.scenarios
    }
    total = len(KINDS) * len(scenarios.scenarios)
    for kind_number, kind in enumerate(KINDS):  # one kind after the other: adapters change once
        for number, scenario in enumerate(scenarios.scenarios, start=1):
            path = folder / f"{scenario.name}-{kind}.mp4"
            request = request_of(
                scenarios, scenario, lora if kind == "adapter" else None, folder, path
            )
            figures[scenario.name][kind] = _clip(request, scenarios, hardware, sessions, path)
            listener(Progress("clips", kind_number * len(scenarios.scenarios) + number, total))
    return figures


def request_of(
    scenarios: Scenarios, scenario: Scenario, lora: Path | None, folder: Path, path: Path
) -> Request:
    """The request of one clip, made with the adapter or without."""
    picture = photograph_file(scenario.photograph, folder / "photographs")
    adapters = (str(lora),) if lora else ()
    return as_request(scenarios, scenario, scenario.name, input_image=picture, output_path=path,
                      lora=adapters, overwrite=True)  # fmt: skip


def _clip(
    request: Request, scenarios: Scenarios, hardware: Any, sessions: Sessions, path: Path
) -> ClipFigures:
    prepared = prepare(request)
    plan = plans_for(prepared, hardware)[0]
    session = sessions.opener(prepared.folder, prepared.adapters)(plan)
    frames = render_clip(prepared.photograph.pixels, plan, session)
    with VideoWriter(
        path, plan.native.width, plan.native.height, plan.fps, "--output-dir"
    ) as writer:
        for frame in frames:
            writer.write(frame)
        writer.commit()
    return measure_clip(
        frames, fitted(prepared.photograph.pixels, plan), plan.fps, scenarios.move, path.name
    )


def measure_clip(
    frames: np.ndarray, photograph: np.ndarray, fps: float, move: str | None, file: str
) -> ClipFigures:
    """The figures of frames (F, H, W, 3) uint8 made from photograph (H, W, 3)."""
    count, height, width = frames.shape[:3]
    alike = (
        likeness(motion_in(frames), motion_of(TAUGHT[move], count, width, height)) if move else None
    )
    return ClipFigures(
        **asdict(figures_of(frames, photograph, fps)),
        file=file,
        cosine=alike and alike.cosine,
        strength=alike and alike.strength,
        shown=alike and alike.shown,
    )


class Summary(Config):
    """Means over the clips of one kind. shows: how many show the trained move."""

    clips: int
    temporal_score: float
    first_frame: float
    amount: float
    shows: int | None


def summarise(figures: Sequence[ClipFigures]) -> Summary:
    """Of one kind."""
    judged = [clip.shown for clip in figures if clip.shown is not None]
    mean = {name: float(np.mean([getattr(clip, name) for clip in figures])) for name in
            ("temporal_score", "first_frame", "amount")}  # fmt: skip
    return Summary(clips=len(figures), shows=sum(judged) if judged else None, **mean)


def verdicts_of(
    wanted: Thresholds, base: Summary, adapter: Summary, held_out: tuple[float, float] | None
) -> list[ThresholdResult]:
    """A verdict for each threshold that is set. held_out: losses of base and adapter."""
    shares = {
        "adapter_shows": None if adapter.shows is None else adapter.shows / adapter.clips,
        "base_shows": None if base.shows is None else base.shows / base.clips,
    }
    found = shares | {
        "first_frame_loss": base.first_frame - adapter.first_frame,
        "temporal_loss": base.temporal_score - adapter.temporal_score,
        "held_out_ratio": None if held_out is None else held_out[1] / held_out[0],
    }
    return [_verdict(name, limit, found[name]) for name, limit in asdict_set(wanted).items()]


def asdict_set(wanted: Thresholds) -> dict[str, float]:
    return {name: limit for name, limit in wanted.model_dump().items() if limit is not None}


def _verdict(name: str, limit: float, value: float | None) -> ThresholdResult:
    least = name == "adapter_shows"
    words = f"{'at least' if least else 'at most'} {limit:g}"
    if value is None:
        return ThresholdResult(name, words, "not measured", None)
    return ThresholdResult(name, words, f"{value:.3f}", value >= limit if least else value <= limit)


def to_dict(figures: dict[str, dict[str, ClipFigures]]) -> dict[str, Any]:
    """Plain types."""
    return {
        name: {kind: asdict(clip) for kind, clip in pair.items()} for name, pair in figures.items()
    }
