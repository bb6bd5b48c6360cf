"""The command behind `src.train_embedded` (`make nano`): train the embedded model in slices that
resume.
"""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.paths import CONFIGS, home

OPTIONS: dict[str, Any] = {
    "minutes": value(float, "How long to train now; 0 only exports. Default 30."),
    "stage": value(
        str,
        "decoder, text, transformer, words (once, at the end), or all of the first three: text "
        "only where nothing was started from. Default all.",
    ),
    "folder": value(Path, "Where the run lives and resumes from. Default outputs/training/nano."),
    "config": value(Path, "Default configs/training/embedded.yaml."),
    "export": value(Path, "Write the fp16 pipeline here. Default FOLDER/pipeline."),
    "start_from": value(Path, "Begin a new run with the weights of this exported pipeline."),
    "sheets": value(float, "Write a sheet of samples every so many minutes. Default none."),
    "threads": value(int, "CPU threads. Default: all cores."),
    "quiet": QUIET,
}


def train_embedded_app() -> typer.Typer:
    """Train, then export what was reached."""
    text = "Train the embedded model for some minutes, resuming the last run, and export it."
    return make_app(OPTIONS, text, _main)


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        _check(values)
        minutes = 30.0 if values["minutes"] is None else values["minutes"]
        _train(values, minutes, _stage(values["stage"] or "all"))


def _check(values: dict[str, Any]) -> None:
    for name in ("minutes", "sheets"):
        if values[name] is not None and not 0 <= values[name] < float("inf"):
            raise BadInputError(f"--{name} is {values[name]:g}; it must be 0 or more")
    if values["threads"] is not None and values["threads"] < 1:
        raise BadInputError(f"--threads is {values['threads']}; it must be at least 1")


def _stage(name: str) -> str | None:
    stages = ("decoder", "text", "transformer", "words")
    if name not in (*stages, "all"):
        raise BadInputError(f"--stage is {name!r}; it must be one of: {', '.join(stages)}, all")
    return None if name == "all" else name


def _train(values: dict[str, Any], minutes: float, stage: str | None) -> None:
    from src.core.config import load_config
    from src.recipes.embedded.run import (
        Slice,
        export_embedded,
        start_from,
        train_slice,
        usual_stages,
    )
    from src.recipes.embedded.settings import EmbeddedSettings

    settings = load_config(
        values["config"] or CONFIGS / "training" / "embedded.yaml", EmbeddedSettings
    )
    if values["threads"]:
        settings = settings.model_copy(update={"threads": values["threads"]})
    folder = values["folder"] or home() / "training" / "nano"
    if values["start_from"]:
        start_from(values["start_from"], folder)
    if minutes:
        stages = (stage,) if stage else usual_stages(folder)
        train_slice(settings, folder, Slice(minutes, stages, values["sheets"] or 0.0))
    print(export_embedded(settings, folder, values["export"] or folder / "pipeline"))
