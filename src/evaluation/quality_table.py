"""What each way to save time costs in quality: speed, PSNR to the uncached 50-step output, and
direction.

    python -m src.evaluation.quality_table --rows steps-50,default
    python -m src.evaluation.quality_table --rows default --clips 4 --directions 12

Any slice of the rows may be measured; results are kept between calls. Each row's result is kept in
a JSON file, its frames in a folder beside it; the page shows every row that was measured with the
weights and the defaults that are there now. Seconds are of encoding, denoising and decoding, warm,
median over the clips.
"""

import json
from pathlib import Path
from typing import Any

from src.console.options import JSON, QUIET, VOCABULARY, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.core.wording import counted

HEADER = (
    "Setting", "Seconds a clip", "Speed", "PSNR to 50 steps, dB",
    "PSNR to the same steps without it, dB", "Moves that are the prompt's",
)  # fmt: skip
OPTIONS: dict[str, Any] = {
    "rows": value(str, "Rows to measure, with commas [all of them].", metavar="NAME,NAME"),
    "model": VOCABULARY["model"],
    "device": VOCABULARY["device"],
    "num_frames": VOCABULARY["num_frames"],
    "photographs": value(
        Path, "A folder of photographs besides the held-out ones of scikit-image."
    ),
    "clips": value(int, "Clips for speed and PSNR [4]."),
    "directions": value(int, "Further clips, for the direction alone [0]."),
    "results": value(Path, "Where results are kept [outputs/quality_table.json]."),
    "docs": value(Path, "The page that gets the table [docs/benchmarks.md]."),
    "json": JSON,
    "quiet": QUIET,
}


def quality_app() -> Any:
    """Measures rows and writes the table."""
    return make_app(
        OPTIONS,
        "Speed against quality for caches, precision, guidance interval and step count.",
        _main,
    )


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        from src.evaluation.pages import around_block
        from src.evaluation.quality_rows import find_rows

        names = find_rows(values["rows"])
        clips, directed = _given(values["clips"], 4), _given(values["directions"], 0)
        if clips < 1 or directed < 0:
            raise BadInputError("--clips must be at least 1, --directions at least 0")
        page = values["docs"] or REPOSITORY / "docs" / "benchmarks.md"
        around_block(page, "quality")
        results = _measure(names, clips, directed, values)
        write_page(page, results)
        if values["json"]:
            print_json({"rows": results})


def _given(number: int | None, usual: int) -> int:
    return usual if number is None else number


def _measure(
    names: list[str], clips: int, directed: int, values: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measure the rows and keep each as soon as it is known; returns all of these weights, in the
    table's order.
    """
    from loguru import logger

    from src.core.errors import CancelledError, NewsreelError
    from src.core.paths import home
    from src.evaluation.quality_rows import ROWS, measure_row

    target = values["results"] or home() / "quality_table.json"
    bench = make_bench(values, target.with_suffix(""))
    scenes = make_scenes(bench, values["photographs"], clips + directed)
    kept = {row["row"]: row for row in read_results(target) if bench.keeps(row)}
    for name in names:
        try:
            kept[name] = measure_row(bench, name, scenes, directed, logger.info)
        except CancelledError:
            raise
        except NewsreelError as error:
            if len(names) == 1:
                raise
            logger.warning(f"{name} is left out: {error}")
        write_results(target, [kept[row] for row in ROWS if row in kept])
    return read_results(target)


def make_bench(values: dict[str, Any], frames: Path) -> Any:
    """The model that is measured. Raises as `locate` does where its weights are missing."""
    from src.engine.probe import probe
    from src.evaluation.quality_rows import Bench
    from src.pipelines.locate import locate, weight_hashes
    from src.pipelines.models import find_model

    spec = find_model(values["model"] or "nano")
    if values["num_frames"] is not None:
        spec.check_frames(values["num_frames"])
        defaults = spec.defaults.model_copy(update={"num_frames": values["num_frames"]})
        spec = spec.model_copy(update={"defaults": defaults})
    folder = locate(spec)
    return Bench(spec, folder, weight_hashes(folder), probe(values["device"] or "auto"), frames)


def make_scenes(bench: Any, photographs: Path | None, count: int) -> list[Any]:
    """`count` clips: every move on every photograph, the moves taking turns so that few clips show
    many of them.
    """
    from src.evaluation.embedded import read_photographs
    from src.evaluation.embedded_figures import WORDINGS
    from src.evaluation.quality_rows import BenchScene
    from src.media.images import fit_photograph

    pictures, moves, size = read_photographs(photographs), list(WORDINGS.items()), bench.spec.native
    if count > len(pictures) * len(moves):
        raise BadInputError(
            f"{count} clips are more than {len(pictures)} photographs with {len(moves)} moves each"
        )
    scenes = []
    for index in range(count):
        turn, place = divmod(index, len(moves))
        name, pixels = pictures[(place + turn) % len(pictures)]
        move, prompt = moves[place]
        picture = fit_photograph(pixels, size.width, size.height, "cover")
        scenes.append(BenchScene(name, picture, prompt, move, place))
    return scenes


def read_results(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def write_results(path: Path, rows: list[dict[str, Any]]) -> None:
    from src.core.durable import write_whole

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(rows, indent=2) + "\n").encode())


def write_page(page: Path, rows: list[dict[str, Any]]) -> None:
    """The table into the page's block "quality"."""
    from src.evaluation.pages import markdown_table, write_block
    from src.evaluation.quality_rows import REFERENCE

    reference = next((row["seconds"] for row in rows if row["row"] == REFERENCE), None)
    cells = [
        (
            row["row"], row["seconds"], f"{reference / row['seconds']:.2f}x" if reference else None,
            row["psnr_to_reference"], row["psnr_to_uncached"], f"{row['right']} of {row['clips']}",
        )
        for row in rows
    ]  # fmt: skip
    machines = ", ".join(sorted({row["hardware"] for row in rows}))
    compared = max((row["compared"] for row in rows), default=0)
    clips = counted(compared, "clip")
    text = f"Measured on {machines}; speed and PSNR over {clips} at native size."
    write_block(page, "quality", f"{text}\n\n{markdown_table(HEADER, cells)}")


if __name__ == "__main__":
    quality_app()(prog_name="python -m src.evaluation.quality_table")
