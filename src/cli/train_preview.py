"""The command behind `src.train_preview`: train a model's preview decoder in slices that resume."""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, VOCABULARY, make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.paths import CONFIGS, home

OPTIONS: dict[str, Any] = {
    "model": VOCABULARY["model"],
    "minutes": value(float, "How long to train now; 0 only exports. Default 20."),
    "steps": value(int, "Steps of the whole run, instead of the file's."),
    "config": value(Path, "Default configs/training/preview.yaml."),
    "folder": value(
        Path, "Where the run lives and resumes from. Default outputs/training/preview-MODEL."
    ),
    "export": value(Path, "Write the decoder here. Default preview.safetensors beside the model."),
    "threads": value(int, "CPU threads. Default: all cores."),
    "quiet": QUIET,
}


def train_preview_app() -> typer.Typer:
    """Train, then export what was reached."""
    text = "Train a model's preview decoder, which drafts need, for some minutes, and export it."
    return make_app(OPTIONS, text, _main)


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        minutes = 20.0 if values["minutes"] is None else values["minutes"]
        if not 0 <= minutes < float("inf"):
            raise BadInputError(f"--minutes is {minutes:g}; it must be 0 or more")
        _train(values, minutes)


def _train(values: dict[str, Any], minutes: float) -> None:
    from src.engine.generate import plain_model
    from src.pipelines.locate import locate
    from src.pipelines.preview_files import FILE
    from src.recipes.preview.run import export_preview, train_preview_slice

    settings = _settings(values)
    spec = plain_model(values["model"] or "auto")
    target = values["export"] or locate(spec) / FILE
    name = Path(spec.id).name
    folder = values["folder"] or home() / "training" / f"preview-{name}"
    if minutes:
        train_preview_slice(spec, settings, folder, minutes)
    print(export_preview(spec, settings, folder, target))


def _settings(values: dict[str, Any]) -> Any:
    """The file's settings with what the flags say instead."""
    from src.core.config import read_yaml, validate
    from src.recipes.preview.settings import PreviewSettings

    path = values["config"] or CONFIGS / "training" / "preview.yaml"
    data = read_yaml(path)
    validate(data, PreviewSettings, str(path))  # so that the error names the file
    if values["threads"] is not None:
        data["threads"] = values["threads"]
    if values["steps"] is not None:
        data["schedule"] = data.get("schedule", {}) | {"steps": values["steps"]}
    return validate(data, PreviewSettings, str(path))
