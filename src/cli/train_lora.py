"""The command behind `src.train_lora`: teach a model a look or a motion from 25 to 100 clips."""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import typer

from src.console.ending import leaving_the_group
from src.console.options import JSON, QUIET, make_app, switch, value
from src.console.output import command, print_json
from src.core.devices import cpu_threads
from src.core.errors import BadInputError
from src.core.paths import CHECKPOINTS, CONFIGS, REPOSITORY

OPTIONS: dict[str, Any] = {
    "metadata": value(Path, "The clips. Default data/metadata/training_metadata.json."),
    "output_dir": value(Path, "Adapters and state. Default checkpoints/lora_press."),
    "config": value(Path, "Default configs/training/lora_default.yaml."),
    "model": value(str, "auto, a model id, or a diffusers folder."),
    "epochs": value(int, "Passes over the clips."),
    "steps": value(int, "End after so many steps."),
    "seed": value(int, "Of everything that is drawn."),
    "rank": value(int, "Of the adapter."),
    "threads": value(int, "CPU threads. Default: all cores."),
    "resume": value(str, "Go on where a run stopped.", metavar="latest|FOLDER"),
    "state_store": value(
        str,
        "A bucket that gets each state too, and --resume latest looks into; s3://BUCKET/PREFIX.",
    ),
    "tracker": value(str, "none, tensorboard, wandb or mlflow [none]."),
    "dry_run": switch(
        "Check everything, predict memory, disk and hours, train nothing.", "--dry-run"
    ),
    "json": JSON,
    "quiet": QUIET,
}
CHANGES = ("model", "epochs", "steps", "seed", "rank", "threads")


def train_lora_app() -> typer.Typer:
    """Exit 2 where training would be refused, 6 on a full disk, 7 where it diverged, 130 where it
    was stopped.
    """
    return make_app(OPTIONS, "Train a LoRA adapter on clips with captions.", _main)


def _main(values: dict[str, Any]) -> None:
    follow_launcher()
    with leaving_the_group(), command(values["json"], values["quiet"] or not is_first()):
        _run(values)


def _run(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.recipes.lora.settings import LoraSettings, load_settings
    from src.training.trackers import check_tracker

    path = values["config"] or CONFIGS / "training" / "lora_default.yaml"
    changes = {name: values[name] for name in CHANGES if values[name] is not None}
    settings = load_settings(path, changes, LoraSettings)
    check_tracker(values["tracker"] or "none")
    with ProgressBar(values["quiet"] or not is_first()) as bar:
        found = examine(settings, values, bar)
        if values["dry_run"]:
            print_preflight(found, values["json"])
            found.check()
            return
        found.check()
        final = _train(found, values, bar)
    if values["json"] and is_first():
        print_json({"adapter": str(final)} | found.report())


def examine(settings: Any, values: dict[str, Any], listener: Any) -> Any:
    """The preflight of these settings and flags."""

    from src.datasets.manifest import read_dataset
    from src.engine.generate import plain_model
    from src.pipelines.locate import locate
    from src.recipes.lora.preflight import preflight
    from src.recipes.lora.run import run_dtype
    from src.recipes.lora.settings import for_model

    dataset = read_dataset(
        values["metadata"] or REPOSITORY / "data" / "metadata" / "training_metadata.json"
    )
    spec = plain_model(settings.model)
    settings = for_model(settings, spec.id)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    output = output_dir(values)
    return preflight(
        settings,
        spec,
        locate(spec),
        dataset,
        run_dtype(settings),
        output,
        processes,
        values["dry_run"],
        listener,
    )


def output_dir(values: dict[str, Any]) -> Path:
    """Where the run writes. Raises BadInputError where that is a file."""
    path = values["output_dir"] or CHECKPOINTS / "lora_press"
    if path.is_file():
        raise BadInputError(f"--output-dir {path} is a file; give a folder")
    return path


def _train(found: Any, values: dict[str, Any], listener: Any) -> Path:
    from src.recipes.lora.run import LoraRun, make_accelerator, train

    run = LoraRun(
        output_dir(values), values["resume"], values["tracker"] or "none", values["state_store"]
    )
    with cpu_threads(found.settings.threads):
        return train(found, run, make_accelerator(found.encoders.dtype), listener)


def print_preflight(found: Any, as_json: bool) -> None:
    report = found.report()
    if as_json:
        if not found.problems:
            print_json(report)
        return
    predicted = report.pop("predicted") or {}
    for name in ("problems", "warnings"):
        for sentence in report.pop(name):
            print(f"{name[:-1]}: {sentence}")
    for name, given in (
        report | {f"predicted {key}": figure for key, figure in predicted.items()}
    ).items():
        said = f"{given:.4g}" if isinstance(given, float) else f"{given}"
        print(f"{name.replace('_', ' '):>28}: {said}")


def is_first() -> bool:
    """Whether this is the only process or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def follow_launcher() -> None:
    """Be told when the launcher dies: with one process, `accelerate launch` does not pass SIGTERM
    on.

    The kernel then sends us SIGTERM, and training saves and stops. Linux only; elsewhere nothing
    happens.
    """
    if sys.platform == "linux" and "ACCELERATE_MIXED_PRECISION" in os.environ:
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
