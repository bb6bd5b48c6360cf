"""`runs.csv`: one row for each finished clip and each enlarged video, for whoever compares runs in
a spreadsheet.
"""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from src.core.errors import OutputError
from src.core.result import Result
from src.upscaling.job import UpscaleJob
from src.upscaling.report import UpscaleReport

COLUMNS = (
    "created", "clip", "mode", "profile", "model", "device", "dtype", "scheduler", "steps",
    "guidance_scale", "frames", "size", "seed", "seconds", "seconds_by_stage", "peak_rss_mb",
    "peak_vram_mb", "temporal_score", "accepted", "static", "frame_sha256",
)  # fmt: skip


def append_run(path: Path, result: Result) -> None:
    """Add a clip's row. Raises OutputError."""
    _append(path, _row(result))


def append_enlarged(path: Path, job: UpscaleJob, device: str, report: UpscaleReport) -> None:
    """Add the row of an enlarged video: mode "upscale"; profile and model are preset and upscaler.
    Raises OutputError.
    """
    choice, size = job.choice, f"{report.width}x{report.height}"
    told = {
        "created": _now(), "clip": report.target.name, "mode": "upscale",
        "profile": f"{choice.scale}x:{choice.preset}", "model": choice.upscaler, "device": device,
        "frames": report.frames, "size": size, "seed": job.choice.seed,
        "seconds": f"{report.seconds:.2f}",
    }  # fmt: skip
    _append(path, tuple(told.get(column, "") for column in COLUMNS))


def _append(path: Path, row: tuple[object, ...]) -> None:
    """A file with other columns (an older version's) is set aside first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _set_aside_older(path)
        new = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write((_line(COLUMNS) if new else "") + _line(row))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _row(result: Result) -> tuple[object, ...]:
    plan, costs, report = result.plan, result.costs, result.report or {}
    stages = " ".join(f"{name}={seconds:.2f}" for name, seconds in costs.seconds.items())
    return (
        _now(), result.path.name, plan.mode, plan.profile,
        plan.session.model, plan.session.device, plan.session.dtype, plan.scheduler,
        plan.num_inference_steps, plan.guidance_scale, plan.num_frames, plan.delivered, plan.seed,
        f"{costs.total:.2f}", stages, costs.peak_rss >> 20, costs.peak_vram >> 20,
        report.get("score", ""), report.get("accepted", ""), report.get("static", ""),
        result.frame_sha256,
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _line(values: tuple[object, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _set_aside_older(path: Path) -> None:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        if stream.readline() == _line(COLUMNS):
            return
    number = 1
    while (older := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    path.rename(older)
