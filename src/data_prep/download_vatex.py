"""Fetch VATEX: the captions, and the clips from a server of your choice.

    python -m src.data_prep.download_vatex --output-dir data/raw/vatex --limit 50 --video-url
    "https://HOST/{id}.mp4"

VATEX gives captions and names of clips (YouTube id and seconds); the clips themselves its authors
do not serve.
"""

import json
from pathlib import Path
from typing import Any

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError, MissingWeightsError, PartialFailureError

URL = "https://eric-xw.github.io/vatex-website/data/vatex_training_v1.0.json"
OPTIONS: dict[str, Any] = {
    "output_dir": value(Path, "Default data/raw/vatex."),
    "limit": value(int, "So many clips. Default all."),
    "url": value(str, "The captions, or a mirror of them."),
    "video_url": value(
        str, "Where clips lie, with {id} in it. Without it only captions are fetched."
    ),
    "sha256": value(str, "Of the captions' file, where you know it."),
    "quiet": QUIET,
}


def vatex_app() -> Any:
    """Exit 3 where the network does not give it, 5 where some clips are gone."""
    return make_app(OPTIONS, "Fetch VATEX: captions, and clips where --video-url says.", _main)


def _main(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.data_prep.fetch import Fetcher

    with command(quiet=values["quiet"]), ProgressBar(values["quiet"]) as bar:
        if values["limit"] is not None and values["limit"] < 1:
            raise BadInputError(f"--limit is {values['limit']}; it must be 1 or more")
        if values["video_url"] and "{id}" not in values["video_url"]:
            raise BadInputError(
                f"--video-url {values['video_url']} needs {{id}} where the clip's name goes"
            )
        output = values["output_dir"] or Path("data/raw/vatex")
        download_vatex(
            output,
            values["limit"],
            values["url"] or URL,
            values["video_url"],
            Fetcher(),
            bar,
            values["sha256"],
        )


def download_vatex(
    output: Path, limit: int | None, url: str, video_url: str | None, fetcher: Any, listener: Any,
    sha256: str | None = None,
) -> list[Path]:  # fmt: skip
    """Captions into `output/annotations`, clips into `output/videos`; what is there and whole is
    left alone.

    Clips that the server does not have are reported and left out; PartialFailureError names how
    many.
    """
    from loguru import logger

    from src.core.progress import Progress
    from src.data_prep.fetch import DownloadLedger

    ledger = DownloadLedger(output)
    captions = output / "annotations" / "vatex_training.json"
    if not ledger.holds(captions):
        fetcher.file(url, captions, sha256)
        ledger.add(captions)
    names = clip_names(captions)[:limit]
    if video_url is None:
        (output / "clips.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        logger.warning(
            "{} names of clips are in {}; give --video-url to fetch them",
            len(names),
            output / "clips.txt",
        )
        return []
    paths, gone = [], []
    for number, name in enumerate(names, start=1):
        path = output / "videos" / f"{name}.mp4"
        try:
            if not ledger.holds(path):
                fetcher.file(video_url.replace("{id}", name), path)
                ledger.add(path)
            paths.append(path)
        except MissingWeightsError as error:
            gone.append(name)
            logger.warning("{}", error)
        listener(Progress("clips", number, len(names)))
    return _answer(paths, gone, output)


def clip_names(captions: Path) -> list[str]:
    """The clips' names. Raises BadInputError where the file is no VATEX annotation."""
    try:
        return [str(item["videoID"]) for item in json.loads(captions.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{captions} is no VATEX annotation: {error!r}") from None


def _answer(paths: list[Path], gone: list[str], output: Path) -> list[Path]:
    from loguru import logger

    logger.info("{}: {} clips of VATEX", output, len(paths))
    if gone and not paths:
        raise MissingWeightsError(
            f"none of {len(gone)} clips could be fetched, {gone[0]} first; check --video-url"
        )
    if gone:
        total = len(gone) + len(paths)
        raise PartialFailureError(
            f"{len(gone)} of {total} clips could not be fetched, {gone[0]} first"
        )
    return paths


if __name__ == "__main__":
    vatex_app()(prog_name="python -m src.data_prep.download_vatex")
