"""python -m src.evaluation.upscaling: measure the shipped networks on pictures never trained on,
and write the page.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY

if TYPE_CHECKING:
    import numpy as np

OPTIONS: dict[str, Any] = {
    "media": value(
        Path, "Folder of pictures and clips to measure besides the held-out photographs."
    ),
    "frames": value(int, "Consecutive frames of each clip [9]."),
    "output": value(
        Path, "Markdown to write [docs/upscaling.md]; its figure goes into images/ beside it."
    ),
    "quiet": QUIET,
}


def evaluation_app() -> typer.Typer:
    return make_app(
        OPTIONS, "Measure the super-resolution networks and write docs/upscaling.md.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        from src.evaluation.upscaling_measures import measure_ways
        from src.evaluation.upscaling_report import write_report

        if values["media"] is not None and not values["media"].is_dir():
            raise BadInputError(f"--media {values['media']} is no folder")
        items = load_items(values["media"], values["frames"] or 9)
        tasks = [(name, *item, scale) for scale in (2, 4) for name, item in items.items()]
        rows = [row for task in tasks for row in measure_ways(*task)]
        output = values["output"] or REPOSITORY / "docs" / "upscaling.md"
        figures = output.with_name("upscaling-figures.json")
        figures.write_text(
            json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8"
        )
        print(write_report(rows, output))


def load_items(media: Path | None, frames: int) -> dict[str, tuple[np.ndarray, bool]]:
    """Clips (F, H, W, 3) by name, sides cut to multiples of 16, and whether each comes from
    `media`.
    """
    from src.scenes.photographs import HELD_OUT, load_training_photograph

    items = {
        photo.name: (_cut(load_training_photograph(photo.name)[None]), False) for photo in HELD_OUT
    }
    for path in sorted(media.iterdir()) if media else ():
        clip = _read(path, frames)
        if clip is not None:
            items[path.stem] = (_cut(clip), True)
    return items


def _read(path: Path, frames: int) -> np.ndarray | None:
    """A picture as a clip of one frame, the middle of a video,
    or None for a file that is neither.
    """
    from itertools import islice

    import numpy as np

    from src.media.images import read_photograph
    from src.media.reader import VideoReader

    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return read_photograph(path).pixels[None]
    if path.suffix.lower() not in (".mp4", ".mkv", ".mov", ".webm"):
        return None
    with VideoReader(path) as reader:
        first = max(0, ((reader.info.frames or frames) - frames) // 2)
        return np.stack([frame.array for frame in islice(reader, first, first + frames)])


def _cut(clip: np.ndarray) -> np.ndarray:
    return clip[:, : clip.shape[1] // 16 * 16, : clip.shape[2] // 16 * 16]


if __name__ == "__main__":
    evaluation_app()(prog_name="python -m src.evaluation.upscaling")
