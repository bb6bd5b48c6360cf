"""Making and measuring the clips of a comparison: each a row, which is kept until its plan is
another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from pydantic import ValidationError

from src.core.config import Config
from src.core.durable import write_whole
from src.core.errors import BadInputError, CancelledError, NewsreelError
from src.core.hardware import Hardware
from src.core.result import Result
from src.engine.advice import LARGE_BYTES
from src.engine.estimates import denoiser_bytes
from src.engine.generate import Prepared, generate, plans_for, prepare, sized
from src.engine.sessions import Sessions
from src.evaluation.compare_file import Comparison, ComparisonTask, comparison_request
from src.media.images import fit_photograph
from src.media.reader import VideoReader
from src.metrics.clip_figures import figures_of
from src.pipelines.families import family_of
from src.pipelines.models import find_model


class Row(Config):
    """One clip, or why there is none. clip: its file. seconds: without loading. peak_memory: bytes,
    of the card where there is one, else of the process. motion: mean length of the flow in percent
    of the width a second, so that sizes and rates compare. wanted, move: the prompt's camera move
    and the measured one.
    """

    task: str
    model: str
    photograph: str
    prompt: str
    licence: str = ""
    reason: str = ""
    bug: bool = False
    plan: str = ""
    clip: str = ""
    bytes: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    device: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    fps: float = 0.0
    temporal_score: float = 0.0
    first_frame: float = 0.0
    motion: float = 0.0
    wanted: str | None = None
    move: str = ""

    @property
    def obeyed(self) -> bool | None:
        """Whether the prompt's move was made; None where none was asked for."""
        return None if self.wanted is None or not self.clip else self.move == self.wanted


def comparison_rows(
    comparison: Comparison,
    tasks: list[ComparisonTask],
    folder: Path,
    hardware: Hardware,
    tell: Callable[[str], None],
) -> Iterator[Row]:
    """A row for each task, in order. An error in one does not stop the others."""
    sessions = Sessions()
    for task in tasks:
        row = _row(task, comparison, folder, hardware, sessions)
        tell(f"{task.name}: {row.reason or f'{row.seconds:.1f} s'}")
        yield row
    sessions.close()


def _row(
    task: ComparisonTask,
    comparison: Comparison,
    folder: Path,
    hardware: Hardware,
    sessions: Sessions,
) -> Row:
    start = {
        "task": task.name, "model": Path(task.model).name, "photograph": Path(task.photograph).name,
        "prompt": task.prompt.name,
    }  # fmt: skip
    try:
        spec = find_model(task.model)
        start["licence"] = spec.licence
        return _made(task, comparison, folder, hardware, sessions, start)
    except CancelledError:
        raise
    except NewsreelError as error:
        return Row(**start, reason=str(error))
    except Exception as error:
        logger.exception(f"comparison, {task.name}")
        return Row(**start, bug=True, reason=f"a bug, its traceback is in the log: {error}")


def _made(
    task: ComparisonTask,
    comparison: Comparison,
    folder: Path,
    hardware: Hardware,
    sessions: Sessions,
    start: dict[str, str],
) -> Row:
    clip = folder / f"{task.name}.mp4"
    prepared = sized(prepare(comparison_request(task, comparison, clip)), hardware)
    _check_time(prepared, hardware)
    plans = plans_for(prepared, hardware)
    kept = _kept(folder / "rows" / f"{task.name}.json", {plan.digest() for plan in plans})
    if kept is not None and clip.is_file():
        return kept
    result = generate(prepared, plans, hardware, sessions=sessions)
    row = Row(**start, **_measured(result, prepared, task, hardware))
    path = folder / "rows" / f"{task.name}.json"
    write_whole(path, row.model_dump_json(indent=2).encode())
    return row


def _check_time(prepared: Prepared, hardware: Hardware) -> None:
    """A large model on a CPU would take hours a clip."""
    if hardware.device == "cpu" and denoiser_bytes(prepared.spec) > LARGE_BYTES:
        raise BadInputError(f"{prepared.spec.id} needs a CUDA device, which is not here")


def _kept(path: Path, plans: set[str]) -> Row | None:
    """A row that an earlier run finished, of one of these plans."""
    try:
        row = Row.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    return row if row.plan in plans else None


def _measured(
    result: Result, prepared: Prepared, task: ComparisonTask, hardware: Hardware
) -> dict[str, Any]:
    """The figures of the file as a viewer sees it, at its own size."""
    with VideoReader(result.path) as reader:
        frames = np.stack([frame.array for frame in reader])
    count, height, width = frames.shape[:3]
    plan = result.plan
    photograph = fit_photograph(prepared.photograph.pixels, width, height, plan.fit)
    found = asdict(figures_of(frames, photograph, plan.fps))
    reads = family_of(prepared.spec).reads_prompt
    return found | {
        "motion": 100 * found.pop("amount") * plan.fps / width,
        "wanted": task.prompt.move if reads else None,
        "plan": plan.digest(),
        "clip": result.path.name,
        "bytes": result.path.stat().st_size,
        "seconds": result.costs.total - result.costs.seconds.get("load", 0.0),
        "peak_memory": result.costs.peak_vram or result.costs.peak_rss,
        "device": hardware.name,
        "width": width,
        "height": height,
        "frames": count,
        "fps": plan.fps,
    }
