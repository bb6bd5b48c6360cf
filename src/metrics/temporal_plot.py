"""The local score of clips over time, as a picture."""

from pathlib import Path

from src.core.errors import BadInputError, OutputError
from src.metrics.temporal_report import TemporalReport
from src.metrics.temporal_score import ACCEPTED_FROM


def plot_curves(reports: dict[str, TemporalReport], path: Path) -> None:
    """One line a clip, the limit, and a mark at each worst moment. Raises BadInputError or
    OutputError.
    """
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
    _save(figure, path)


def _save(figure, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except ValueError:
        raise BadInputError(
            f"{path} is no picture that can be drawn; end it in .png, .svg or .pdf"
        ) from None
    except OSError as error:
        raise OutputError(f"the plot {path} cannot be written: {error.strerror}") from None
