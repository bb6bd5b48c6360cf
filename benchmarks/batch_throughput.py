"""Twelve jobs as one batch against as many separate commands: seconds, ratio, peak memory.

    python -m benchmarks.batch_throughput                # three separate commands, extrapolated
    python -m benchmarks.batch_throughput --separate 12  # all of them measured
    python -m benchmarks.batch_throughput --page docs/benchmarks.md -- --prompts-per-forward 4

Both sides run the same jobs with the same seeds, each command a process of its own, with its start,
imports, loading and warm-up. What stands after `--` goes to the batch. Prints JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from src.core.paths import REPOSITORY
from src.core.request import Request
from src.engine.batching.jobs_file import read_batch
from src.evaluation.pages import markdown_table, write_block

JOBS = REPOSITORY / "data" / "metadata" / "batch_jobs.json"


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = shortened(arguments, folder)
        separate = [
            alone(job.request, folder) for job in read_batch(file, {})[: arguments.separate]
        ]
        batch = together(file, folder / "batch", arguments.options)
        found = report(arguments.count, separate, batch, stages(folder))
    print(json.dumps(found, indent=2))
    if arguments.page:
        write_block(arguments.page, "batch", as_table(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs-file", type=Path, default=JOBS)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--count", type=int, default=12, help="jobs of the file that are taken")
    parser.add_argument(
        "--separate", type=int, default=3, help="separate commands that are measured"
    )
    parser.add_argument("--page", type=Path, help="a page with a block 'batch' that gets the table")
    parser.add_argument("options", nargs="*", help="options of the batch, after --")
    return parser.parse_args()


def shortened(arguments: argparse.Namespace, folder: Path) -> Path:
    """The first `count` jobs on the model asked for, photographs by their whole path."""
    data = json.loads(arguments.jobs_file.read_text(encoding="utf-8"))
    data["defaults"] |= {"model": arguments.model}
    data["jobs"] = data["jobs"][: arguments.count]
    for job in data["jobs"]:
        job["input_image"] = str((REPOSITORY / job["input_image"]).resolve())
    file = folder / "jobs.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


def alone(request: Request, folder: Path) -> dict[str, float]:
    """One separate command for a job."""
    target = folder / "separate" / f"{request.seed}.mp4"
    options = ["--output-path", str(target)]
    for name, value in request.model_dump(mode="json", exclude_defaults=True).items():
        if name == "set":
            options += [
                part for slot, text in value.items() for part in ("--set", f"{slot}={text}")
            ]
        elif name == "score":
            options += ["--no-score"]
        elif name != "mode":
            options += [f"--{name.replace('_', '-')}", str(value)]
    return timed([sys.executable, "-m", "src.optimized_inference", *options], folder)


def together(file: Path, target: Path, options: list[str]) -> dict[str, float]:
    """The batch command for all jobs."""
    command = [
        sys.executable,
        "-m",
        "src.batch_processor",
        "--jobs-file",
        str(file),
        "--output-dir",
        str(target),
    ]
    return timed([*command, *options], file.parent)


def timed(command: list[str], folder: Path) -> dict[str, float]:
    """Wall and processor seconds and peak resident megabytes of one process, which must succeed."""
    begin = time.perf_counter()
    environment = os.environ | {"NEWSREEL_HOME": str(folder / "home")}
    log = folder / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=stream
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode:
        shutil.copyfileobj(log.open(), sys.stderr)
        raise SystemExit(f"{command[2]} ended with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_rss_mb": usage.ru_maxrss >> 10,
    }


def stages(folder: Path) -> dict[str, dict[str, float]]:
    """Median seconds by stage of the batch's clips and of the separate ones, as their manifests
    say.
    """
    found = {}
    for side in ("batch", "separate"):
        files = [
            file for file in sorted((folder / side).glob("*.json")) if file.name != "report.json"
        ]
        costs = [json.loads(file.read_text(encoding="utf-8"))["costs"]["seconds"] for file in files]
        found[side] = {
            name: round(statistics.median(each.get(name, 0.0) for each in costs), 4)
            for name in costs[0]
        }
    return found


def report(
    count: int,
    separate: list[dict[str, float]],
    batch: dict[str, float],
    by_stage: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """ratio: of throughputs. The time of all separate commands is the mean of those measured, times
    `count`.
    """
    whole = statistics.fmean(one["seconds"] for one in separate) * count
    return {
        "jobs": count,
        "separate_measured": len(separate),
        "extrapolated": len(separate) < count,
        "separate": separate,
        "separate_seconds_for_all": round(whole, 1),
        "batch": batch,
        "seconds_by_stage": by_stage,
        "clips_per_hour": {
            "separate": round(3600 * count / whole, 1),
            "batch": round(3600 * count / batch["seconds"], 1),
        },
        "ratio": round(whole / batch["seconds"], 3),
    }


def as_table(found: dict[str, Any]) -> str:
    """The report as the page shows it."""
    count, measured = found["jobs"], found["separate_measured"]
    rows = [
        (f"{count} separate commands", found["separate_seconds_for_all"],
         found["clips_per_hour"]["separate"], max(one["peak_rss_mb"] for one in found["separate"])),
        (f"one batch of {count}", found["batch"]["seconds"], found["clips_per_hour"]["batch"],
         found["batch"]["peak_rss_mb"]),
    ]  # fmt: skip
    note = f"extrapolated from {measured} of them" if found["extrapolated"] else "all measured"
    table = markdown_table(("", "Seconds", "Clips an hour", "Peak memory, MB"), rows)
    return (
        f"{table}\n\nThe batch has {found['ratio']:.2f} times the throughput (separate commands: "
        f"{note})."
    )


if __name__ == "__main__":
    main()
