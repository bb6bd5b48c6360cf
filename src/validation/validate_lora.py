"""Validate an adapter: base against adapter with the same seeds, figures, thresholds, and a page to
look at.

    python -m src.validation.validate_lora --lora checkpoints/lora_press/adapter_final \\
        --scenarios configs/training/validation_prompts.yaml
"""

import json
from pathlib import Path
from typing import Any

from src.console.options import JSON, QUIET, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, PartialFailureError
from src.core.paths import CONFIGS, REPOSITORY, home

OPTIONS: dict[str, Any] = {
    "lora": value(Path, "The adapter's folder."),
    "scenarios": value(Path, "Default configs/training/validation_prompts.yaml."),
    "model": value(str, "The base, instead of the one in the scenarios."),
    "output_dir": value(Path, "Default outputs/validation/NAME-ADAPTER."),
    "json": JSON,
    "quiet": QUIET,
}


def validate_app() -> Any:
    """Exit 5 where a threshold is missed."""
    return make_app(OPTIONS, "Compare an adapter with its base and judge it by thresholds.", _main)


def _main(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar

    with command(values["json"], values["quiet"]):
        if values["lora"] is None:
            raise BadInputError("give --lora FOLDER, such as checkpoints/lora_press/adapter_final")
        with ProgressBar(values["quiet"]) as bar:
            report, folder = validate_adapter(values, bar)
        if values["json"]:
            print_json(report)
        else:
            _say(report, folder)
        if not report["passed"]:
            missed = [verdict["name"] for verdict in report["verdicts"] if not verdict["reached"]]
            raise PartialFailureError(f"{', '.join(missed)} missed; see {folder / 'index.html'}")


def validate_adapter(values: dict[str, Any], listener: Any) -> tuple[dict[str, Any], Path]:
    """Make, measure and judge; writes report.json and index.html. Returns the report and its
    folder.
    """
    from src.core.durable import write_whole
    from src.validation.compare import compare_clips, summarise, to_dict, verdicts_of
    from src.validation.held_out import held_out_losses
    from src.validation.scenarios import load_scenarios

    scenarios = load_scenarios(
        values["scenarios"] or CONFIGS / "training" / "validation_prompts.yaml"
    )
    if values["model"]:
        scenarios = scenarios.model_copy(update={"model": values["model"]})
    lora = Path(values["lora"])
    name = f"{lora.resolve().parent.name}-{lora.resolve().name}"
    folder = values["output_dir"] or home() / "validation" / name
    spec, adapter, base_folder = open_adapter(scenarios.model, lora)
    figures = compare_clips(
        scenarios.model_copy(update={"model": model_name(spec)}), lora, folder, listener
    )
    held_out = None
    if scenarios.metadata is not None:
        held_out = held_out_losses(
            REPOSITORY / scenarios.metadata, spec, base_folder, adapter, folder
        )
    base, trained = (
        summarise([pair[kind] for pair in figures.values()]) for kind in ("base", "adapter")
    )
    verdicts = verdicts_of(scenarios.thresholds, base, trained, held_out)
    report = {
        "schema_version": 1,
        "adapter": name,
        "adapter_sha256": adapter.reference.sha256,
        "model": spec.id,
        "move": scenarios.move,
        "passed": all(verdict.reached for verdict in verdicts),
        "verdicts": [vars(verdict) for verdict in verdicts],
        "summary": {"base": base.model_dump(), "adapter": trained.model_dump()},
        "held_out": None if held_out is None else {"base": held_out[0], "adapter": held_out[1]},
        "clips": to_dict(figures),
    }
    write_whole(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    write_whole(folder / "index.html", report_page(report, scenarios).encode())
    return report, folder


def open_adapter(model: str, lora: Path) -> tuple[Any, Any, Path]:
    """The base's spec, the adapter's file, and the base's folder; refused where they do not belong
    together.
    """
    from src.engine.generate import plain_model
    from src.pipelines.adapter_files import read_adapter
    from src.pipelines.locate import locate

    spec = plain_model(model)
    folder = locate(spec)
    return spec, read_adapter(str(lora), folder), folder


def model_name(spec: Any) -> str:
    """What a request calls this model."""
    return spec.folder or spec.id


def report_page(report: dict[str, Any], scenarios: Any) -> str:
    """The HTML page; clips are named relative to it."""
    from jinja2 import Environment

    template = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(**{**report, "figures": report["clips"], "scenarios": scenarios.scenarios})
    )


def _say(report: dict[str, Any], folder: Path) -> None:
    for verdict in report["verdicts"]:
        mark = "pass" if verdict["reached"] else "FAIL"
        print(f"{mark}  {verdict['name']:<18} {verdict['found']:>12}   wanted {verdict['wanted']}")
    print(folder / "index.html")


if __name__ == "__main__":
    validate_app()(prog_name="python -m src.validation.validate_lora")
