"""How a benchmark is written down: CSV rows, a table for people, a bar plot of the stages."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.core.errors import OutputError
from src.core.wording import counted
from src.evaluation.pages import markdown_table

SHOWN = (
    "mode", "profile", "steps", "seconds_median", "speedup", "peak_rss_mb", "peak_vram_mb",
    "memory_share", "temporal_score", "psnr_to_baseline", "max_difference",
)  # fmt: skip
OF_SEVERAL = ("model", "frames", "size")
"""What is shown besides where there are several models."""


def shown_columns(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """The columns that a person compares."""
    several = len({row["model"] for row in rows}) > 1
    return (*OF_SEVERAL, *SHOWN) if several else SHOWN


def append_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append the rows with the time of writing; a file with other columns is refused, not mixed."""
    stamped = [
        {"created": datetime.now(UTC).isoformat(timespec="seconds")} | _flat(row) for row in rows
    ]
    header = _lines([list(stamped[0])])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old and not old.startswith(header):
            raise OutputError(f"{path} has other columns; name another file with --csv")
        with path.open("a", encoding="utf-8") as stream:
            stream.write(("" if old else header) + _lines([list(row.values()) for row in stamped]))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()
    }


def _lines(rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def bench_table(rows: list[dict[str, Any]]) -> str:
    """The columns a person compares, aligned."""
    names = shown_columns(rows)
    cells = [list(names), *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def page_block(rows: list[dict[str, Any]], machine: str) -> str:
    """The rows as a page shows them."""
    first, names = rows[0], shown_columns(rows)
    of = f"Model {first['model']}, {first['frames']} frames, {first['size']}, "
    note = f"{of if names == SHOWN else ''}{first['dtype']} on {machine}."
    return f"{note}\n\n{markdown_table(names, [[row[name] for name in names] for row in rows])}"


def _bar(row: dict[str, Any], several: bool) -> str:
    """How a bar is called."""
    model = f"{row['model']}, " if several else ""
    return f"{model}{row['mode']} ({counted(row['steps'], 'step')})"


def plot(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Stacked bars: seconds by stage, a bar a mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.7 * len(rows) + 1.4), layout="constrained")
    stages = list(dict.fromkeys(stage for row in rows for stage in row["seconds_by_stage"]))
    left, several = [0.0] * len(rows), shown_columns(rows) != SHOWN
    for stage in stages:
        seconds = [row["seconds_by_stage"].get(stage, 0.0) for row in rows]
        axes.barh(
            [_bar(row, several) for row in rows],
            seconds,
            left=left,
            label=stage,
        )
        left = [before + now for before, now in zip(left, seconds, strict=True)]
    axes.set(xlabel="seconds a clip, first timed run")
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
