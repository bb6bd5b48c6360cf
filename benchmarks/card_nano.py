"""The part `nano` of `benchmarks.card`: minutes in, the embedded model's weights in files that
travel out.

What leaves is the pipeline as a tar file in parts under 16 MB, and `nano.json`: steps, clips seen,
clips a second.
"""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from pathlib import Path

import torch

from src.core.config import load_config
from src.core.errors import MissingFileError
from src.core.paths import CONFIGS
from src.pipelines.blueprint import NANO, TINY_NANO, Blueprint
from src.recipes.embedded.run import (
    STAGES,
    Slice,
    export_embedded,
    start_from,
    train_slice,
    usual_stages,
)
from src.recipes.embedded.settings import EmbeddedSettings

PART = 15_000_000
"""Bytes of a file that leaves, at most."""
SETTINGS = CONFIGS / "training" / "embedded_card.yaml"
CPU_CLIPS_AN_HOUR = 1400
"""Clips that one core trains in an hour with configs/training/embedded.yaml: 2.75 a step, one step
in 6.9 s.
"""


def train(
    minutes: float,
    out: Path,
    rehearse: bool,
    start: Path | None = None,
    stages: tuple[str, ...] = (),
    file: Path = SETTINGS,
) -> dict[str, float | str]:
    """Train for `minutes` and leave weights and figures in `out`. start: an exported pipeline to go
    on from. stages: those alone; none for the usual ones. file: the recipe's settings.

    Raises what a stage raises, after what has been trained until then is left in `out`.
    """
    settings, blueprint = load_config(file, EmbeddedSettings), NANO
    if rehearse:
        settings, blueprint = small(settings), TINY_NANO
    folder = Path(out) / "run"
    if start is not None:
        start_from(start, folder, blueprint)
    piece = Slice(minutes, stages or usual_stages(folder), fit=True)
    failure = _train_or_export(settings, folder, piece, blueprint)
    pack(folder / "pipeline", Path(out))
    figures = figures_of(folder, settings) | (
        {"error": f"{type(failure).__name__}: {failure}"} if failure else {}
    )
    (Path(out) / "nano.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder)
    if failure:
        raise failure
    return figures


def _train_or_export(
    settings: EmbeddedSettings, folder: Path, piece: Slice, blueprint: Blueprint
) -> Exception | None:
    """Train; where a stage fails, its error, after the newest checkpoints of all stages are
    exported. Raises it where none had begun.
    """
    try:
        train_slice(settings, folder, piece, blueprint)
    except Exception as error:
        try:
            export_embedded(settings, folder, folder / "pipeline", blueprint)
        except MissingFileError:
            raise error from None
        return error
    return None


def small(settings: EmbeddedSettings) -> EmbeddedSettings:
    """The same road in batches for a CPU and a tiny model."""
    decoder = settings.decoder.model_copy(update={"crops": 2, "crop_height": 32, "crop_width": 32})
    teaching = settings.transformer.teaching.model_copy(update={"blocks": (0, 1)})
    changes = {"batches": {2: 3}, "draw": {0: {2: 1.0}}, "teaching": teaching}
    transformer = settings.transformer.model_copy(update=changes)
    stages = {"decoder": decoder, "transformer": transformer}
    return settings.model_copy(update={"canvases": 6, "corpus": 300, "fit_clips": 6} | stages)


def figures_of(folder: Path, settings: EmbeddedSettings) -> dict[str, float | str]:
    """Steps of each stage and what the transformer saw, from the run's own logs."""
    steps = {name: _steps(folder / f"{name}.csv") for name in STAGES}
    pace = [float(row["seconds"]) for row in _rows(folder / "transformer.csv")]
    clips = min(settings.transformer.batches.values())
    typical = sorted(pace)[len(pace) // 2] if pace else float("nan")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "device": device, **{f"{name}_steps": count for name, count in steps.items()},
        "seconds_a_step": typical, "clips_at_least": steps["transformer"] * clips,
        "times_a_core_hour": steps["transformer"] * clips / CPU_CLIPS_AN_HOUR,
    }  # fmt: skip


def _steps(file: Path) -> int:
    return len(_rows(file))


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def pack(pipeline: Path, out: Path) -> list[Path]:
    """The folder as `nano.tar`, cut into `nano.tar.00` and so on."""
    whole = out / "nano.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(pipeline, arcname=".")
    parts, data = [], whole.read_bytes()
    for number, begin in enumerate(range(0, len(data), PART)):
        parts.append(out / f"nano.tar.{number:02d}")
        parts[-1].write_bytes(data[begin : begin + PART])
    whole.unlink()
    return parts


def unpack(folder: Path, to: Path) -> Path:
    """The parts in `folder` as a pipeline in `to`, which keeps its README. Raises MissingFileError
    without parts.
    """
    parts = sorted(folder.glob("nano.tar.*"))
    if not parts:
        raise MissingFileError(
            f"{folder} holds no nano.tar.00; give the folder that came back from the card"
        )
    fresh = to.with_name(f".{to.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    whole = fresh / "nano.tar"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(whole) as archive:
        archive.extractall(fresh, filter="data")
    whole.unlink()
    if (to / "README.md").is_file():
        shutil.copy(to / "README.md", fresh)
    shutil.rmtree(to, ignore_errors=True)
    return fresh.rename(to)
