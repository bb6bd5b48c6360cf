"""Compare models on the same photographs, prompts and seeds: one page, clips side by side in step.

python -m src.evaluation.compare configs/evaluation/press_prompts.yaml --out outputs/comparison
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from src.console.options import JSON, QUIET, make_app, named_path, switch, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, PartialFailureError

OPTIONS: dict[str, Any] = {
    "file": Annotated[
        Path,
        typer.Argument(parser=named_path, help="YAML with models, photographs and prompts."),
    ],
    "out": value(Path, "Folder for the clips and index.html; finished rows in it are kept."),
    "models": value(str, "Instead of the file's: ids or folders, with commas."),
    "accept_licence": switch("Take weights whose licence has limits.", "--accept-licence"),
    "json": JSON,
    "quiet": QUIET,
}


def compare_app() -> Any:
    """The command."""
    return make_app(OPTIONS, "Compare models on the same photographs, prompts and seeds.", _main)


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        if values["out"] is None:
            raise BadInputError("give --out FOLDER, such as outputs/comparison")
        rows = compare(values)
        if values["json"]:
            print_json({"rows": rows})
        elif not values["quiet"]:
            made = sum(bool(row["clip"]) for row in rows)
            print(f"{made} of {len(rows)} clips\n{values['out'] / 'index.html'}")
        bugs = [row["task"] for row in rows if row["bug"]]
        if bugs:
            raise PartialFailureError(f"a bug ended {', '.join(bugs)}; its traceback is above")


def compare(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Make what is missing, then write index.html and rows.json. Returns the rows."""
    from src.core.durable import write_whole
    from src.engine.probe import probe
    from src.evaluation.compare_file import load_comparison, tasks_of
    from src.evaluation.compare_page import comparison_page
    from src.evaluation.compare_rows import comparison_rows

    comparison = load_comparison(values["file"])
    if values["models"]:
        names = tuple(name.strip() for name in values["models"].split(","))
        comparison = comparison.model_copy(update={"models": names})
    if values["accept_licence"]:
        comparison = comparison.model_copy(update={"accept_licence": True})
    folder = values["out"]
    folder.mkdir(parents=True, exist_ok=True)
    say = (lambda text: None) if values["quiet"] or values["json"] else print
    rows = list(comparison_rows(comparison, tasks_of(comparison), folder, probe("auto"), say))
    told = [row.model_dump() | {"obeyed": row.obeyed} for row in rows]
    write_whole(folder / "rows.json", (json.dumps(told, indent=2) + "\n").encode())
    write_whole(folder / "index.html", comparison_page(comparison, rows, folder).encode())
    return told


if __name__ == "__main__":
    compare_app()(prog_name="python -m src.evaluation.compare")
