"""Benchmark of the stock pipeline against ours: latency by stage, memory, temporal score, PSNR,
ratio.

    python -m src.evaluation.benchmark --input-image PHOTO --prompt TEXT --mode both --csv
    outputs/benchmarks.csv

Each mode runs in a process of its own, warm, and the modes take turns, so that a noisy machine
disturbs both. Ratios are of medians. "optimized" runs with its own defaults; "equal" is the same
profile with the baseline's steps and guidance, of which PSNR, largest frame difference and share of
the peak memory are given. `--models A,B` measures several models one after the other, each in those
of the modes that it has.
"""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from src.console.options import CONFIG, JSON, QUIET, make_app, options_for, value
from src.console.output import command, print_json
from src.core.errors import BadInputError
from src.core.request import FIELDS, Request, build_request, check_mode
from src.evaluation.bench_worker import BenchWorker, Sample
from src.evaluation.pages import around_block, write_block
from src.metrics.psnr import psnr

UNTIMED = ("output_path", "overwrite", "mode", "score", "delivery", "upscale")
"""Fields that the benchmark leaves as they are: it writes no clip, and takes the score of what it
times.
"""
WORDS = ("prompt", "template", "set", "negative_prompt")
TAKEN = options_for(lambda field: field.name not in UNTIMED)
OPTIONS: dict[str, Any] = {
    **TAKEN,
    "models": value(str, "Models to measure one after the other, with commas between [--model]."),
    "mode": value(str, "baseline, optimized or both [both]."),
    "repeats": value(int, "Timed runs of each mode [3]."),
    "warmup": value(int, "Untimed runs before them [1]."),
    "csv": value(Path, "CSV to append to [outputs/benchmarks.csv]."),
    "page": value(
        Path, "A page with a block 'cpu' that gets the rows, such as docs/benchmarks.md."
    ),
    "summary": value(Path, "Snapshot to write [outputs/PROJECT_SUMMARY.json]."),
    "config": CONFIG,
    "json": JSON,
    "quiet": QUIET,
}


def benchmark_app() -> Any:
    """The benchmark command."""
    return make_app(
        OPTIONS, "Measure the stock pipeline against ours, in one run, and append to a CSV.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        mode = values["mode"] or "both"
        if mode not in ("baseline", "optimized", "both"):
            raise BadInputError(f"--mode {mode}: it is baseline, optimized or both")
        if values["page"]:
            around_block(values["page"], "cpu")
        repeats, warmup = _count(values, "repeats", 3, 1), _count(values, "warmup", 1, 0)
        rows: list[dict[str, Any]] = []
        for requests in [build_requests(each, how) for each, how in _asked(values, mode)]:
            rows += rows_of(measure_requests(requests, repeats, warmup))
        _write(rows, values)


def _asked(values: dict[str, Any], mode: str) -> list[tuple[dict[str, Any], str]]:
    """Flags and mode of each model. Of several all are checked before one is measured: what cannot
    run is told at once.
    """
    from src.engine.generate import prepare

    if values["models"] is None:
        return [(values, mode)]
    if values["model"] is not None:
        raise BadInputError("--model and --models say the same thing; give one of them")
    names = list(dict.fromkeys(filter(None, map(str.strip, values["models"].split(",")))))
    asked = [_of_model(values, name, mode) for name in names]
    if not asked:
        raise BadInputError("--models names no model; such as --models nano,ltx-video")
    for given, how in asked:
        for request in build_requests(given, how).values():
            prepare(request)
    return asked


def _of_model(values: dict[str, Any], name: str, mode: str) -> tuple[dict[str, Any], str]:
    """Words go to those that read them; a model without a loop of ours has the baseline alone."""
    from src.pipelines.families import family_of
    from src.pipelines.models import find_model

    family = family_of(find_model(name))
    words = {} if family.reads_prompt else dict.fromkeys(WORDS)
    if mode != "both" and mode not in family.modes:
        raise BadInputError(f"{name} has no mode {mode}; it has {' and '.join(family.modes)}")
    both = mode == "both" and len(family.modes) > 1
    return values | {"model": name} | words, mode if both or mode != "both" else family.modes[0]


def _count(values: dict[str, Any], name: str, usual: int, least: int) -> int:
    number = usual if values[name] is None else values[name]
    if number < least:
        raise BadInputError(f"--{name} must be at least {least}, got {number}")
    return number


def build_requests(values: dict[str, Any], mode: str) -> dict[str, Request]:
    """The request of each mode; what is ours alone stays out of the baseline's when both are
    measured.
    """
    given = {name: values[name] for name in TAKEN}
    given["seed"] = 0 if given["seed"] is None else given["seed"]
    wanted = ("baseline", "optimized") if mode == "both" else (mode,)
    requests = {name: build_request(given | {"mode": name}, values["config"]) for name in wanted}
    if mode == "both":
        requests["baseline"] = _for_stock(requests["baseline"])
    for request in requests.values():
        check_mode(request)
    return requests


def _for_stock(request: Request) -> Request:
    """Without what the stock pipeline does not take, wherever it was said."""
    left = {
        name: field.default
        for name, field in FIELDS.items()
        if not field.stock_takes(getattr(request, name))
    }
    return request.model_copy(update=left)


def measure_requests(
    requests: dict[str, Request], repeats: int, warmup: int
) -> dict[str, list[Sample]]:
    """Timed samples by mode, the modes taking turns; with both modes also one "equal" sample of
    ours.
    """
    from loguru import logger

    workers = {name: BenchWorker(request) for name, request in requests.items()}
    samples: dict[str, list[Sample]] = {name: [] for name in workers}
    try:
        for turn in range(warmup + repeats):
            for name, worker in workers.items():
                sample = worker.run(scored=turn == warmup)
                logger.info(f"{name}: {sample.total:.2f} s{' (warm-up)' if turn < warmup else ''}")
                if turn >= warmup:
                    samples[name].append(sample)
        if len(workers) == 2:
            samples["equal"] = [_equal(workers["optimized"], samples["baseline"][0])]
    finally:
        for worker in workers.values():
            worker.close()
    return samples


def _equal(worker: BenchWorker, baseline: Sample) -> Sample:
    """Ours with the baseline's steps and guidance: the one run that the PSNR and the equal-steps
    ratio are of.
    """
    plan = baseline.plan
    return worker.run(
        scored=True,
        num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance_scale,
    )


def rows_of(samples: dict[str, list[Sample]]) -> list[dict[str, Any]]:
    """One row a mode; ratio and PSNR are against the baseline where it was measured."""
    baseline = samples.get("baseline")
    return [_row(name, runs, baseline) for name, runs in samples.items()]


def _row(name: str, runs: list[Sample], baseline: list[Sample] | None) -> dict[str, Any]:
    totals = [run.total for run in runs]
    median, first = statistics.median(totals), runs[0]
    plan, report = first.plan, first.report
    comparable = baseline is not None and name == "equal"
    return {
        "mode": name,
        "profile": plan.profile,
        "model": plan.session.model,
        "device": plan.session.device,
        "dtype": plan.session.dtype,
        "steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale,
        "frames": plan.num_frames,
        "size": str(plan.delivered),
        "repeats": len(runs),
        "seconds_median": round(median, 3),
        "seconds_min": round(min(totals), 3),
        "seconds_max": round(max(totals), 3),
        "seconds_by_stage": {stage: round(value, 3) for stage, value in first.seconds.items()},
        "clips_per_hour": round(3600 / median, 2),
        "peak_rss_mb": max(run.peak_rss for run in runs) >> 20,
        "peak_vram_mb": max(run.peak_vram for run in runs) >> 20,
        "temporal_score": report["score"],
        "static": report["static"],
        "memory_share": _memory(runs, baseline),
        "speedup": round(statistics.median([run.total for run in baseline]) / median, 3)
        if baseline
        else None,
        "psnr_to_baseline": finite_psnr(baseline[0].frames, first.frames) if comparable else None,
        "max_difference": int(np.abs(baseline[0].frames.astype(int) - first.frames).max())
        if comparable
        else None,
    }


def _memory(runs: list[Sample], baseline: list[Sample] | None) -> float | None:
    """Peak memory as a share of the baseline's: of the GPU where it was used,
    else of the process.
    """
    if baseline is None:
        return None
    ours, stock = (max(run.peak_vram or run.peak_rss for run in side) for side in (runs, baseline))
    return round(ours / stock, 3)


def finite_psnr(first: np.ndarray, second: np.ndarray) -> float | None:
    """Peak signal-to-noise ratio of uint8 pictures in dB; None for equal ones, where it is
    infinite.
    """
    return None if np.array_equal(first, second) else round(psnr(first, second), 2)


def _write(rows: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """CSV, snapshot and plot; the rows on standard output."""
    from src.core.paths import home
    from src.engine.probe import probe
    from src.evaluation.bench_report import append_csv, bench_table, page_block, plot
    from src.evaluation.summary import write_summary

    target = values["csv"] or home() / "benchmarks.csv"
    append_csv(target, rows)
    picture = plot(target.with_suffix(".png"), rows)
    write_summary(
        values["summary"] or home() / "PROJECT_SUMMARY.json", rows, {"csv": target, "plot": picture}
    )
    if values["page"]:
        write_block(values["page"], "cpu", page_block(rows, probe(values["device"] or "auto").name))
    if values["json"]:
        print_json({"rows": rows})
    else:
        print(bench_table(rows))


if __name__ == "__main__":
    benchmark_app()(prog_name="python -m src.evaluation.benchmark")
