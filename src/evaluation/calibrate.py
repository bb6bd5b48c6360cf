"""python -m src.evaluation.calibrate: fit the step caches `magcache` and `teacache` to a model.

Runs the model uncached on photographs and prompts, fits what the caches go by, shows what each
threshold saves and costs, and writes the calibration into the model's folder.
"""

from pathlib import Path
from typing import Any

from src.console.options import JSON, QUIET, VOCABULARY, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, OutputError

BLOCK = "step caches"
HEADER = (
    "Cache", "Steps skipped", "Denoising", "PSNR to uncached, dB", "Temporal score",
    "First frame, dB", "Moves that are the prompt's",
)  # fmt: skip
STEPS = 28
UNCACHED: dict[str, Any] = {"cache": "none", "guidance_interval": (0.0, 1.0)}
"""What is fitted and compared with: no cache and no interval of a profile's own."""
FEWEST_STEPS = 4
OPTIONS: dict[str, Any] = {
    "model": VOCABULARY["model"],
    "device": VOCABULARY["device"],
    "num_inference_steps": value(
        int, "Steps of the calibrated schedule [the model's own, 28 if these are fewer than 4]."
    ),
    "guidance_scale": VOCABULARY["guidance_scale"],
    "num_frames": VOCABULARY["num_frames"],
    "clips": value(int, "Clips to run [4]."),
    "photographs": value(
        Path, "A folder of photographs besides the held-out ones of scikit-image."
    ),
    "output": value(Path, "Where the calibration goes [step_caches.json in the model's folder]."),
    "docs": value(Path, "A page with a block `step caches`, which gets the table."),
    "json": JSON,
    "quiet": QUIET,
}


def calibrate_app() -> Any:
    """Fits, measures, writes."""
    return make_app(OPTIONS, "Fit the step caches magcache and teacache to a model.", _main)


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        from src.core.durable import write_whole
        from src.evaluation.pages import around_block
        from src.pipelines.cache_fit import FILE, text_of

        if values["docs"]:
            around_block(values["docs"], BLOCK)
        bench, calibration = _calibration(values)
        target = values["output"] or bench.folder / FILE
        _check_writable(target)
        fit, rows = _measure(bench, calibration)
        write_whole(target, text_of(fit).encode())
        table = _table(rows, bench.hardware.name, fit)
        if values["docs"]:
            _write_page(values["docs"], table)
        if values["json"]:
            print_json({"calibration": str(target), "usual": fit.usual,
                        "rows": [row.to_dict() for row in rows]})  # fmt: skip
        else:
            print(f"{table}\n\n{target}")


def _calibration(values: dict[str, Any]) -> tuple[Any, Any]:
    from loguru import logger

    from src.evaluation.calibrate_rows import Calibration
    from src.evaluation.quality_table import make_bench, make_scenes

    bench = make_bench(values, Path())
    asked, clips = values["num_inference_steps"], values["clips"]
    steps = _usual_steps(bench) if asked is None else asked
    clips = 4 if clips is None else clips
    if steps < FEWEST_STEPS or clips < 1:
        raise BadInputError(
            f"--num-inference-steps must be {FEWEST_STEPS} or more, --clips at least 1"
        )
    changes = UNCACHED | {"num_inference_steps": steps}
    if values["guidance_scale"] is not None:
        changes["guidance_scale"] = values["guidance_scale"]
    scenes = make_scenes(bench, values["photographs"], clips)
    return bench, Calibration(bench, scenes, changes, logger.info)


def _check_writable(target: Path) -> None:
    """Raise OutputError now rather than after minutes of computing."""
    from src.core.durable import check_writable

    if target.is_dir():
        raise OutputError(f"{target} is a folder; give --output PATH of a file")
    check_writable(
        target,
        "a calibration belongs into the model's folder, so make that writable, or keep it "
        "elsewhere with --output PATH",
    )


def _usual_steps(bench: Any) -> int:
    own = bench.spec.defaults.num_inference_steps
    return own if own >= FEWEST_STEPS else STEPS


def _measure(bench: Any, calibration: Any) -> tuple[Any, list[Any]]:
    from src.evaluation.calibrate_rows import LEAST_PSNR, costly, usual_thresholds
    from src.pipelines.locate import base_hash

    fit = calibration.fit(base_hash(bench.folder))
    rows = list(calibration.rows(fit))
    for name in costly(rows):
        calibration.tell(
            f"{name}: no threshold that was tried stays above {LEAST_PSNR:g} dB to uncached and "
            "keeps every direction; the usual one is the least that was tried"
        )
    return fit.model_copy(update={"usual": usual_thresholds(rows)}), rows


def _table(rows: list[Any], hardware: str, fit: Any) -> str:
    from src.evaluation.pages import markdown_table

    cells = [
        (
            row.cache if row.cache == "none" else f"{row.cache}={row.threshold:g}",
            f"{row.skipped} of {row.steps}", f"{row.speed:.2f}x", row.psnr, row.score,
            row.first_frame, f"{row.right} of {row.clips}",
        )
        for row in rows
    ]  # fmt: skip
    usual = ", ".join(f"`{name}` {threshold:g}" for name, threshold in fit.usual.items())
    return (
        f"Measured on {hardware}: {rows[0].clips} clips of {fit.num_frames} frames at native size, "
        f"guidance {fit.guidance_scale:g}.\nThresholds that are taken unless one is given: {usual}."
        f"\n\n{markdown_table(HEADER, cells)}"
    )


def _write_page(page: Path, table: str) -> None:
    from src.evaluation.pages import write_block

    write_block(page, BLOCK, table)


if __name__ == "__main__":
    calibrate_app()(prog_name="python -m src.evaluation.calibrate")
