"""The temporal_consistency command: score clips that already exist."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import NAMED_PATH, named_path
from src.console.output import command, print_json
from src.core.errors import BadInputError, MissingFileError, NewsreelError, PartialFailureError
from src.core.paths import exists

if TYPE_CHECKING:
    from src.metrics.temporal_report import TemporalReport

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def temporal_consistency(
    clips: list[Path] = typer.Argument(parser=named_path, help="Video files, or folders of them."),
    json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
    plot: Path = typer.Option(
        None, help="Draw the score of each pair of frames into this PNG.", **NAMED_PATH
    ),
    backend: str = typer.Option(None, help="auto, opencv, numba or torch."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Score the temporal consistency of clips: 1 is smooth, 0.6 and more is accepted, static clips
    are labelled.
    """
    with command(json, quiet):
        if plot is not None:
            from src.metrics.temporal_plot import check_plot

            check_plot(plot)
        paths = clips_named(clips)
        reports: dict[Path, TemporalReport | NewsreelError] = {}
        for path in paths:
            reports[path] = _scored(path, backend, quiet, alone=len(paths) == 1)
            if not json:
                _say(path, reports[path])
        _answer(reports, json, plot)


def clips_named(clips: list[Path]) -> list[Path]:
    """The files meant: folders give their clips by name.
    Raises MissingFileError or BadInputError.
    """
    from loguru import logger

    from src.media.folder import none_here, videos_among

    paths: list[Path] = []
    for clip in clips:
        if not exists(clip):
            raise MissingFileError(f"there is no clip or folder at {clip}")
        inside, others = videos_among(clip.iterdir()) if clip.is_dir() else ([clip], {})
        if not inside:
            raise none_here(clip, others)
        for path, reason in others.items():
            logger.info("{} is left out: {}", path, reason)
        paths += inside
    return list(dict.fromkeys(paths))


def score_file(
    path: Path, backend: str | None, listener: Callable[[int, int | None], Any]
) -> "TemporalReport":
    """Score one video file, streamed. listener: called with (frames done,
    frames stated or None).
    """
    from src.media.reader import VideoReader
    from src.metrics.temporal import TemporalScorer

    with VideoReader(path) as reader, TemporalScorer(reader.info, backend) as scorer:
        for frame in reader:
            scorer.update(frame.array, float(frame.pts * reader.info.time_base))
            listener(scorer.frames, reader.info.frames)
        try:
            return scorer.finish()
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from None


def _scored(
    path: Path, backend: str | None, quiet: bool, alone: bool
) -> "TemporalReport | NewsreelError":
    """The report, or among several clips the error,
    so that one bad file does not stop the others.
    """
    from src.console.progress import ProgressBar
    from src.core.progress import Progress

    with ProgressBar(quiet) as bar:
        try:
            return score_file(
                path,
                backend,
                lambda done, total: bar(Progress(path.stem[:24], done, total or done)),
            )
        except NewsreelError as error:
            if alone:
                raise
            return error


def _say(path: Path, outcome: "TemporalReport | NewsreelError") -> None:
    text = f"not scored: {outcome}" if isinstance(outcome, NewsreelError) else outcome.sentence()
    typer.echo(f"{path}: {text}")


def _answer(
    reports: "dict[Path, TemporalReport | NewsreelError]", json: bool, plot: Path | None
) -> None:
    """JSON and plot; PartialFailureError where some clips could not be scored."""
    failed = [path for path, outcome in reports.items() if isinstance(outcome, NewsreelError)]
    scored = {path: outcome for path, outcome in reports.items() if path not in failed}
    if plot is not None and scored:
        from src.metrics.temporal_plot import plot_curves

        plot_curves({path.name: report for path, report in scored.items()}, plot)
    if failed:
        if json:
            print_json({"clips": [_record(path, outcome) for path, outcome in reports.items()]})
            raise SystemExit(PartialFailureError.exit_code)
        raise PartialFailureError(f"{len(failed)} of {len(reports)} clips could not be scored")
    if json:
        records = [_record(path, outcome) for path, outcome in reports.items()]
        print_json(records[0] if len(records) == 1 else {"clips": records})


def _record(path: Path, outcome: "TemporalReport | NewsreelError") -> dict[str, Any]:
    if isinstance(outcome, NewsreelError):
        return {"clip": str(path), "error": str(outcome)}
    return {"clip": str(path)} | outcome.to_dict()


def main() -> None:
    """Parse the command line and run."""
    app(prog_name="python -m src.temporal_consistency")
