"""The local score of clips over time, as a picture."""

import io
from pathlib import Path

from src.core.durable import write_whole
from src.core.errors import BadInputError
from src.core.paths import is_folder
from src.metrics.temporal_report import TemporalReport
from src.metrics.temporal_score import ACCEPTED_FROM

NEEDS_TEX = "pgf"
"""Of what matplotlib writes, the one that it cannot write by itself."""


def check_plot(path: Path) -> None:
    """Raise BadInputError where no picture can go there; for before anything is scored."""
    from matplotlib.backend_bases import FigureCanvasBase

    if is_folder(path):
        raise BadInputError(f"--plot {path} is a folder; name the picture in it")
    if _kind(path) not in FigureCanvasBase.get_supported_filetypes().keys() - {NEEDS_TEX}:
        raise BadInputError(f"{path} is no picture that can be drawn; end it in .png, .svg or .pdf")


def plot_curves(reports: dict[str, TemporalReport], path: Path) -> None:
    """One line a clip, the limit, and a mark at each worst moment. Raises OutputError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, report in reports.items():
        (line,) = axes.plot(report.curve, linewidth=1.5, label=f"{name}: {report.score:.2f}")
        if report.worst.cause != "none":
            at = min(report.worst.frames[0], len(report.curve) - 1)
            axes.plot(at, report.curve[at], "o", color=line.get_color(), markersize=5)
            place = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 8}
            axes.annotate(report.worst.cause, (at, report.curve[at]), **place)
    axes.axhline(ACCEPTED_FROM, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="pair of frames", ylabel="local consistency", ylim=(-0.03, 1.06))
    if len(reports) <= 10:
        axes.legend(fontsize=8, loc="lower left")
    picture = io.BytesIO()
    figure.savefig(picture, format=_kind(path))
    write_whole(path, picture.getvalue())


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
