"""python -m src.evaluation.upscaling: measure the shipped networks on pictures never trained on, and write the page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY

if TYPE_CHECKING:
    import numpy as np

PRESETS = ("fast", "balanced")
OPTIONS: dict[str, Any] = {
    "media": value(Path, "Folder of pictures and clips to measure besides the held-out photographs."),
    "frames": value(int, "Consecutive frames of each clip [9]."),
    "output": value(Path, "Markdown to write [docs/upscaling.md]; its figure goes into images/ beside it."),
    "quiet": QUIET,
}


@dataclass(frozen=True)
class Row:
    """One picture or clip at one scale by one way. Flicker figures are None for a still picture.

    tof: against the true clip. warping, sharpness: as shares of the true clip's own.
    """

    item: str
    shared: bool
    scale: int
    way: str
    psnr: float
    ssim: float
    sharpness: float
    tof: float | None = None
    warping: float | None = None


def evaluation_app() -> typer.Typer:
    return make_app(OPTIONS, "Measure the super-resolution networks and write docs/upscaling.md.", _main)


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        from src.evaluation.upscaling_report import write_report

        if values["media"] is not None and not values["media"].is_dir():
            raise BadInputError(f"--media {values['media']} is no folder")
        items = load_items(values["media"], values["frames"] or 9)
        tasks = [(name, *item, scale) for scale in (2, 4) for name, item in items.items()]
        rows = [row for task in tasks for row in measure(*task)]
        output = values["output"] or REPOSITORY / "docs" / "upscaling.md"
        figures = output.with_name("upscaling-figures.json")
        figures.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
        print(write_report(rows, output))


def load_items(media: Path | None, frames: int) -> dict[str, tuple[np.ndarray, bool]]:
    """Clips (F, H, W, 3) by name, sides cut to multiples of 16, and whether each comes from `media`."""
    from src.scenes.photographs import HELD_OUT, read_photograph

    items = {photo.name: (_cut(read_photograph(photo.name)[None]), False) for photo in HELD_OUT}
    for path in sorted(media.iterdir()) if media else ():
        clip = _read(path, frames)
        if clip is not None:
            items[path.stem] = (_cut(clip), True)
    return items


def _read(path: Path, frames: int) -> np.ndarray | None:
    """A picture as a clip of one frame, the middle of a video, or None for a file that is neither."""
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


def measure(name: str, truth: np.ndarray, shared: bool, scale: int) -> list[Row]:
    """Bicubic and each preset against the truth."""
    from loguru import logger

    from src.evaluation import upscaling_measures as m
    from src.training.degrade import shrink

    low = shrink(truth, scale)
    ways = {"bicubic": m.bicubic_clip(low, scale)} | {p: m.enlarge_clip(low, p, scale) for p in PRESETS}
    true_flows, true_sharpness = (m.flows(truth) if len(truth) > 1 else None), m.sharpness(truth)
    rows = []
    for way, made in ways.items():
        near = [(m.psnr_y(a, b, scale), m.ssim_y(a, b, scale)) for a, b in zip(made, truth, strict=True)]
        row = Row(name, shared, scale, way, m.mean(n[0] for n in near), m.mean(n[1] for n in near),
                  m.sharpness(made) / true_sharpness, *_flicker(made, truth, true_flows))  # fmt: skip
        logger.info(f"{name} {scale}x {way}: {row.psnr:.2f} dB, SSIM {row.ssim:.4f}")
        rows.append(row)
    return rows


def _flicker(made: np.ndarray, truth: np.ndarray, true_flows: Any) -> tuple[float | None, float | None]:
    from src.evaluation import upscaling_measures as m

    if true_flows is None:
        return None, None
    own = m.warping_error(truth, *true_flows)
    return m.tof(m.flows(made)[0], true_flows[0]), m.warping_error(made, *true_flows) / own


if __name__ == "__main__":
    evaluation_app()(prog_name="python -m src.evaluation.upscaling")
