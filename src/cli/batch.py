"""The batch command: a jobs file in, clips with manifests, a summary, `report.json` and
`report.csv` out.
"""

import csv
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import JSON, QUIET, make_app, options_for, switch, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, PartialFailureError

if TYPE_CHECKING:
    from src.engine.batching.run import Outcome

OVERRIDES = options_for(lambda field: not field.option.clip, usual=False)
"""For all jobs of the file."""
OPTIONS: dict[str, Any] = {
    "jobs_file": value(Path, "JSON file of jobs (configs/schemas/batch_jobs.json)."),
    "output_dir": value(Path, "Where clips and reports go."),
    **OVERRIDES,
    "prompts_per_forward": value(int, "Clips that may share a forward, where memory allows [1]."),
    "resume": switch("Skip jobs whose clip is there, whole, and of the same plan.", "--resume"),
    "dry_run": switch("Validate and show the order; run nothing.", "--dry-run"),
    "json": JSON,
    "quiet": QUIET,
}


def batch_app() -> typer.Typer:
    """Exit 5 when some jobs failed."""
    return make_app(
        OPTIONS, "Work through a file of jobs with one load for all that share it.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        if values["jobs_file"] is None or values["output_dir"] is None:
            raise BadInputError("give --jobs-file FILE and --output-dir FOLDER")
        _run(values)


def _run(values: dict[str, Any]) -> None:
    from src.engine.batching.jobs_file import read_batch
    from src.engine.batching.microbatches import clips_per_forward
    from src.engine.batching.run import plan_batch, run_batch
    from src.engine.probe import probe

    overrides = {name: values[name] for name in OVERRIDES if values[name] is not None}
    jobs = read_batch(values["jobs_file"], overrides)
    hardware = probe(values["device"] or "auto")
    planned = plan_batch(
        jobs, values["output_dir"], hardware, clips_per_forward(values["prompts_per_forward"])
    )
    if values["dry_run"]:
        print_json({"order": [item.job.id for item in planned]})
        return
    begin = time.perf_counter()
    outcomes = run_batch(
        planned, hardware, values["resume"], _announcer(len(planned), values["quiet"])
    )
    _answer(outcomes, time.perf_counter() - begin, values)


def _announcer(total: int, quiet: bool) -> Any:
    """Says after each job what became of it and how long the rest will take."""
    from loguru import logger

    seconds: list[float] = []
    done = 0

    def announce(outcome: "Outcome") -> None:
        nonlocal done
        done += 1
        if outcome.state != "skipped":
            seconds.append(outcome.seconds)
        left = sum(seconds) / len(seconds) * (total - done) if seconds else 0.0
        logger.info(
            f"[{done}/{total}] {outcome.id} {outcome.state}, {outcome.seconds:.1f} s; {left:.0f} s "
            "left"
        )

    return announce


def _answer(outcomes: list["Outcome"], seconds: float, values: dict[str, Any]) -> None:
    """Write the reports, show the table, and raise PartialFailureError when a job failed."""
    from src.core.durable import write_whole

    report = summary(outcomes, seconds)
    folder = values["output_dir"]
    write_whole(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    write_whole(folder / "report.csv", as_csv(report["jobs"]).encode())
    if values["json"]:
        print_json(report)
    elif not values["quiet"]:
        print(as_table(report))
    if report["failed"]:
        failed = report["failed"]
        raise PartialFailureError(
            f"{failed} of {len(outcomes)} jobs failed; see {folder / 'report.json'}"
        )


def summary(outcomes: list["Outcome"], seconds: float) -> dict[str, Any]:
    """Counts, wall time, throughput of what was computed, and a row for each job."""
    states = [outcome.state for outcome in outcomes]
    computed = states.count("completed")
    return {
        "schema_version": 1,
        "completed": computed,
        "skipped": states.count("skipped"),
        "failed": states.count("failed"),
        "seconds": round(seconds, 3),
        "clips_per_hour": round(computed / seconds * 3600, 2) if computed else 0.0,
        "jobs": [outcome.row() for outcome in outcomes],
    }


def as_csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def as_table(report: dict[str, Any]) -> str:
    """The summary as people read it."""
    rows = [
        (r["id"], r["state"], f"{r['seconds']:.1f} s", _score(r), r["error"] or r["clip"])
        for r in report["jobs"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    columns = [
        [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)] for row in rows
    ]
    lines = ["  ".join(row) for row in columns]
    counts = (
        f"{report['completed']} completed, {report['skipped']} skipped, {report['failed']} failed"
    )
    return "\n".join(
        [
            *lines,
            f"{counts} in {report['seconds']:.0f} s, {report['clips_per_hour']:.0f} clips an hour",
        ]
    )


def _score(row: dict[str, Any]) -> str:
    return f"{row['temporal_score']:.2f}" if row["temporal_score"] != "" else "-"
