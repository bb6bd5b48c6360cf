"""What a card found, into the page of benchmarks and the planner's own file."""

import json
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.evaluation import memory
from src.evaluation.pages import around_block, markdown_table, write_block
from src.pipelines.models import find_model

MODEL = "cogvideox-5b-i2v"
PEAKS = {
    "fast": ("decode", "cache"),
    "exact": ("decode", "blocks"),
    "lean": ("lean",),
    "stream": ("offload",),
}
"""Rows in which everything ran that a profile runs: the largest of their peaks is the profile's."""
BESIDE = ("seconds", "peak_allocated_gb", "peak_reserved_gb", "counted_gb", "error", "fatal")


def publish(file: Path, page: Path) -> None:
    """Write the table of rows and the measured peaks. Raises before anything is written where a
    file is not right.
    """
    found = read(file)
    for block in ("card", "cards"):
        around_block(page, block)
    peaks = measured(found["rows"])
    spec = find_model(MODEL)
    if peaks:
        memory.write_memory(
            spec.model_copy(update={"memory": spec.memory.model_copy(update={"measured": peaks})})
        )
    write_block(page, "card", table(found))
    write_block(page, "cards", memory.cards([find_model(name) for name in memory.LARGE]))


def read(file: Path) -> dict[str, Any]:
    """The results of a run on a card. Raises MissingFileError, or BadInputError for a rehearsal or
    another file.
    """
    if not file.is_file():
        raise MissingFileError(
            f"{file} does not exist; python -m benchmarks.card --out FOLDER writes it"
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rehearsal, rows = found["rehearsal"], found["rows"]
        known = (
            isinstance(rows, dict)
            and "environment" in rows
            and all(isinstance(row, dict) for row in rows.values())
        )
    except (ValueError, TypeError, LookupError) as error:
        raise BadInputError(f"{file} is no result of benchmarks.card: {error}") from None
    if not known:
        raise BadInputError(
            f"{file} is no result of benchmarks.card: it has no row environment, which comes first"
        )
    if rehearsal:
        raise BadInputError(f"{file} is of a rehearsal; only what a card measured is published")
    return found


def measured(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Peak bytes by profile, as the allocator held them, of the profiles whose rows all ran."""
    peaks = {}
    for profile, names in PEAKS.items():
        held = [rows.get(name, {}).get("peak_reserved_gb") for name in names]
        if all(held) and not any(rows[name].get("error") for name in names):
            peaks[profile] = round(max(held) * 1e9)
    return peaks


def table(found: dict[str, Any]) -> str:
    """One line a row: what it found, its peaks beside what the planner counts."""
    device = found["rows"].get("environment", {}).get("device", "an unnamed card")
    lines = [_line(name, row) for name, row in found["rows"].items()]
    head = ("Row", "Found (seconds)", "Peak allocated, GB", "Peak reserved, GB", "Counted, GB")
    return f"Measured on {device}.\n\n{markdown_table(head, lines)}"


def _line(name: str, row: dict[str, Any]) -> tuple[object, ...]:
    told = "; ".join(f"{key} {_short(value)}" for key, value in row.items() if key not in BESIDE)
    if row.get("error"):
        told = f"{told}; {row['error']}" if told else row["error"]
    return (
        name,
        told,
        row.get("peak_allocated_gb"),
        row.get("peak_reserved_gb"),
        row.get("counted_gb"),
    )


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
