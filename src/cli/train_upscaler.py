"""The command behind `src.train_upscaler`: train a super-resolution network in slices
that resume.
"""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.paths import CONFIGS, home

OPTIONS: dict[str, Any] = {
    "config": value(Path, "Default configs/training/upscaler_default.yaml."),
    "preset": value(str, "fast, balanced, quality or nano, instead of the file's."),
    "scale": value(int, "2 or 4, instead of the file's."),
    "steps": value(int, "Steps of the whole run, instead of the file's."),
    "minutes": value(float, "How long to train now; 0 only exports. Default 30."),
    "folder": value(
        Path,
        "Where the run lives and resumes from. Default outputs/training/upscaler-PRESET-SCALEx.",
    ),
    "start_from": value(Path, "Begin a new run with the weights of this file, where shapes fit."),
    "export": value(Path, "Write the weights here. Default FOLDER/PRESET_SCALEx.safetensors."),
    "threads": value(int, "CPU threads. Default: all cores."),
    "quiet": QUIET,
}


def train_upscaler_app() -> typer.Typer:
    """Train, then export what was reached."""
    text = (
        "Train a super-resolution network for some minutes, resuming the last run, and export it."
    )
    return make_app(OPTIONS, text, _main)


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        minutes = 30.0 if values["minutes"] is None else values["minutes"]
        if minutes < 0:
            raise BadInputError(f"--minutes is {minutes:g}; it must be 0 or more")
        _train(values, minutes)


def _train(values: dict[str, Any], minutes: float) -> None:
    settings = _settings(values)
    from src.recipes.upscaler.run import export_upscaler, train_upscaler_slice

    name = f"{settings.preset}_{settings.scale}x"
    folder = (
        values["folder"] or home() / "training" / f"upscaler-{settings.preset}-{settings.scale}x"
    )
    if values["start_from"] and not minutes:
        raise BadInputError("--start-from begins a run; with --minutes 0 none is run")
    if minutes:
        train_upscaler_slice(settings, folder, minutes, values["start_from"])
    print(export_upscaler(settings, folder, values["export"] or folder / f"{name}.safetensors"))


def _settings(values: dict[str, Any]) -> Any:
    """The file's settings with what the flags say instead."""
    from src.core.config import read_yaml, validate
    from src.recipes.upscaler.settings import UpscalerSettings, of_preset

    path = values["config"] or CONFIGS / "training" / "upscaler_default.yaml"
    data = read_yaml(path)
    # so that the error names the file, and merging meets what it expects
    whole = validate(data, UpscalerSettings, str(path))
    for name in whole.presets:
        validate(of_preset(data, name), UpscalerSettings, f"{path}: presets.{name}")
    data = of_preset(data, values["preset"] or whole.preset)
    data |= {
        name: values[name] for name in ("preset", "scale", "threads") if values[name] is not None
    }
    if values["steps"] is not None:
        data["schedule"] = data.get("schedule", {}) | {"steps": values["steps"]}
    return validate(data, UpscalerSettings, str(path))
