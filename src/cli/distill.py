"""The command behind `src.distill`: an adapter with which a clip takes fewer forwards."""

from pathlib import Path
from typing import Any

import typer

from src.cli.train_lora import OPTIONS as LORA_OPTIONS
from src.cli.train_lora import follow_launcher, is_first, output_dir, print_preflight
from src.console.ending import leaving_the_group
from src.console.options import make_app, value
from src.console.output import command, print_json
from src.core.devices import cpu_threads
from src.core.errors import BadInputError
from src.core.paths import CHECKPOINTS, CONFIGS, REPOSITORY

OPTIONS: dict[str, Any] = {
    "stage": value(str, "guidance: one forward for two; steps: few steps for many."),
    "teacher": value(str, "The guidance adapter that --stage steps learns from."),
    **LORA_OPTIONS,
    "output_dir": value(Path, "Adapters and state. Default checkpoints/distill_STAGE."),
    "config": value(Path, "Default configs/training/distill_default.yaml."),
    "student_steps": value(int, "Of a clip with the adapter of --stage steps."),
    "guidance_scale": value(float, "That the adapter stands for. Default: the model's own."),
}
STAGES = ("guidance", "steps")
CHANGES = (
    "stage", "model", "epochs", "steps", "seed", "rank", "threads", "student_steps",
    "guidance_scale",
)  # fmt: skip


def distill_app() -> typer.Typer:
    """Exit codes as those of `train_lora_app`."""
    return make_app(OPTIONS, "Distill an adapter that needs fewer forwards.", _main)


def _main(values: dict[str, Any]) -> None:
    follow_launcher()
    with leaving_the_group(), command(values["json"], values["quiet"] or not is_first()):
        _run(values)


def _run(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.training.trackers import check_tracker

    check_tracker(values["tracker"] or "none")
    with ProgressBar(values["quiet"] or not is_first()) as bar:
        lesson, found = _examine(values, bar)
        if values["dry_run"]:
            print_preflight(found, values["json"])
            found.check()
            return
        final = _train(lesson, found, values, bar)
    if values["json"] and is_first():
        print_json({"adapter": str(final)} | found.report())


def _examine(values: dict[str, Any], listener: Any) -> tuple[Any, Any]:
    """What will be learnt, and the preflight of it."""
    import os

    from src.datasets.manifest import read_dataset
    from src.engine.generate import plain_model
    from src.pipelines.locate import locate
    from src.recipes.distill.run import plan_lesson
    from src.recipes.distill.settings import DistillSettings
    from src.recipes.lora.preflight import preflight
    from src.recipes.lora.run import run_dtype
    from src.recipes.lora.settings import for_model, load_settings

    if values["stage"] not in STAGES:
        raise BadInputError("give --stage guidance or --stage steps; guidance comes first")
    changes = {name: values[name] for name in CHANGES if values[name] is not None}
    path = values["config"] or CONFIGS / "training" / "distill_default.yaml"
    settings = load_settings(path, changes, DistillSettings)
    usual = REPOSITORY / "data" / "metadata" / "training_metadata.json"
    dataset = read_dataset(values["metadata"] or usual)
    spec = plain_model(settings.model)
    folder = locate(spec)
    lesson = plan_lesson(for_model(settings, spec.id), spec, folder, values["teacher"])
    return lesson, preflight(
        lesson.settings, spec, folder, dataset, run_dtype(lesson.settings), _output(values),
        int(os.environ.get("WORLD_SIZE", "1")), values["dry_run"], listener,
    )  # fmt: skip


def _output(values: dict[str, Any]) -> Path:
    usual = CHECKPOINTS / f"distill_{values['stage']}"
    return output_dir(values | {"output_dir": values["output_dir"] or usual})


def _train(lesson: Any, found: Any, values: dict[str, Any], listener: Any) -> Path:
    from src.recipes.distill.run import making
    from src.recipes.lora.run import LoraRun, make_accelerator, train

    run = LoraRun(
        _output(values), values["resume"], values["tracker"] or "none", values["state_store"]
    )
    accelerator = make_accelerator(found.encoders.dtype)
    with cpu_threads(lesson.settings.threads):
        return train(found, run, accelerator, listener, making(lesson, found))
