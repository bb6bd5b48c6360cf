"""From videos and captions to the manifest that training reads; what cannot be trained on is
reported and left out.

python -m src.data_prep.prepare_metadata --msr-vtt data/raw/msr-vtt --output
data/metadata/training_metadata.json
"""

from pathlib import Path
from typing import Any

from src.console.options import JSON, QUIET, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY

OPTIONS: dict[str, Any] = {
    "msr_vtt": value(Path, "A folder of download_msr_vtt."),
    "vatex": value(Path, "A folder of download_vatex."),
    "videos": value(
        Path, "Any folder of videos; NAME.txt beside NAME.mp4 holds its captions, one a line."
    ),
    "prompt": value(str, "With --videos: the caption of clips without one."),
    "source": value(str, "With --videos: where they come from."),
    "licence": value(str, "With --videos: under which licence."),
    "rights": value(str, "With --videos: who may use them for what."),
    "output": value(Path, "The manifest. Default data/metadata/training_metadata.json."),
    "limit": value(int, "So many entries at most."),
    "held_out_share": value(float, "Share of the clips to measure on. Default 0.1."),
    "min_seconds": value(
        float, "Clips shorter than this are left out. Default 2.2, 17 frames at 8 a second."
    ),
    "json": JSON,
    "quiet": QUIET,
}


def metadata_app() -> Any:
    """Exactly one of --msr-vtt, --vatex and --videos."""
    return make_app(OPTIONS, "Write the manifest of a training set.", _main)


def _main(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.data_prep.annotations import read_source

    with command(values["json"], values["quiet"]):
        given = [name for name in ("msr_vtt", "vatex", "videos") if values[name] is not None]
        if len(given) != 1:
            raise BadInputError("give exactly one of --msr-vtt, --vatex and --videos")
        with ProgressBar(values["quiet"]) as bar:
            clips = read_source(given[0], values[given[0]], values)
            output = values["output"] or REPOSITORY / "data" / "metadata" / "training_metadata.json"
            report = _prepare(clips, output, values, bar)
        if values["json"]:
            print_json(report)


def _prepare(clips: Any, output: Path, values: dict[str, Any], listener: Any) -> dict[str, Any]:
    from loguru import logger

    from src.data_prep.selection import build_entries, sift
    from src.datasets.manifest import write_dataset

    least = 2.2 if values["min_seconds"] is None else values["min_seconds"]
    share = 0.1 if values["held_out_share"] is None else values["held_out_share"]
    if not 0 <= share < 1:
        raise BadInputError(f"--held-out-share is {share:g}; it must be 0 or more and less than 1")
    kept, left_out = sift(clips, least, listener)
    for name, reason in left_out.items():
        logger.warning("left out {}: {}", name, reason)
    entries = build_entries(kept, output, share, values["limit"])
    if not entries:
        first = next(iter(left_out.values()), "there is none")
        raise BadInputError(
            f"nothing to train on: all {len(left_out)} clips were left out, the first because "
            f"{first}"
        )
    write_dataset(output, entries)
    logger.info(
        "{}: {} entries of {} clips; {} left out", output, len(entries), len(kept), len(left_out)
    )
    return {
        "metadata": str(output),
        "entries": len(entries),
        "clips": len(kept),
        "left_out": left_out,
    }


if __name__ == "__main__":
    metadata_app()(prog_name="python -m src.data_prep.prepare_metadata")
