"""The command behind `src.test_setup`: what works on this machine, what is missing and how to get
it.
"""

import dataclasses
from typing import Any

import typer

from src.console.options import JSON, VOCABULARY, make_app
from src.console.output import command, print_json
from src.core.errors import MissingWeightsError

MARKS = {"ok": "ok     ", "missing": "missing", "failed": "FAILED "}


def setup_app() -> typer.Typer:
    """Exit 0 when the embedded model works."""
    text = (
        "Check this machine: GPU, memory, versions, compiler, codecs, CPU offload, and each model."
    )
    return make_app({"device": VOCABULARY["device"], "json": JSON}, text, _main)


def _main(values: dict[str, Any]) -> None:
    with command(values["json"]):
        checks = _checks(values["device"] or "auto", values["json"])
        if values["json"]:
            print_json({"checks": [dataclasses.asdict(check) for check in checks]})
        failed = [check.name for check in checks if check.state == "failed"]
        if failed:
            raise MissingWeightsError(f"not in order: {', '.join(failed)}; see the lines above")
        if not values["json"]:
            print("Newsreel works here: make clip makes a clip")


def _checks(device: str, as_json: bool) -> list[Any]:
    from src.engine.checks import run_checks
    from src.engine.probe import probe

    checks = []
    for check in run_checks(probe(device)):
        checks.append(check)
        if not as_json:
            print(f"{MARKS[check.state]}  {check.name}: {check.detail}", flush=True)
    return checks
