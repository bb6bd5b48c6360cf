"""Every figure of docs/temporal-score.md: verdicts, speed, invariance, memory.

python -m benchmarks.temporal_score table held_out --out held_out.json
python -m benchmarks.temporal_score speed
python -m benchmarks.temporal_score agreement --frames 9
python -m benchmarks.temporal_score invariance
python -m benchmarks.temporal_score memory
"""

import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import typer

from benchmarks.temporal_clips import (
    BAD,
    FRAMES,
    GOOD,
    KINDS,
    calibration_pictures,
    clip,
    dead_leaves,
    held_out_pictures,
)
from src.cli.temporal_consistency import score_file
from src.core.devices import core_count
from src.media.writer import VideoWriter
from src.metrics.temporal import score_frames
from src.metrics.temporal_report import TemporalReport
from src.motion.tvl1 import flow_backend
from src.motion.tvl1_params import TVL1Params

app = typer.Typer(add_completion=False, help=__doc__)
SETS = {"calibration": (calibration_pictures, 0), "held_out": (held_out_pictures, 1000)}


def _pair_of(pictures: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    """The picture and the one after it, which the kinds with two pictures take."""
    names = list(pictures)
    return [pictures[name], pictures[names[(names.index(name) + 1) % len(names)]]]


def _expected(kind: str, report: TemporalReport) -> bool:
    if kind in GOOD:
        return report.accepted and not report.static
    return not report.accepted if kind in BAD else report.static


@app.command()
def table(
    pictures: str = typer.Argument(help="calibration or held_out."),
    only: list[str] = typer.Option(None, help="Names of pictures; all without it."),
    kinds: list[str] = typer.Option(None, "--kind", help="Kinds of clip; all without it."),
    backend: str = typer.Option(None),
    out: Path = typer.Option(None, help="JSON with one record a clip."),
) -> None:
    """The verdict on every kind of clip over a set of pictures."""
    make, seed = SETS[pictures]
    sources = make()
    records = []
    for kind_number, kind in enumerate(KINDS):
        for number, name in enumerate(sources):
            if (only and name not in only) or (kinds and kind not in kinds):
                continue
            frames = clip(kind, _pair_of(sources, name), seed + 100 * kind_number + number)
            report = score_frames(frames, (720, 480), backend)
            right = _expected(kind, report)
            records.append({"kind": kind, "picture": name, "right": right} | report.to_dict())
            verdict = "" if right else "WRONG"
            print(
                f"{kind:15} {name:12} {report.score:.3f} {report.worst.cause:8} {verdict}",
                flush=True,
            )
        if out:
            out.write_text(json.dumps(records), encoding="utf-8")
    print(f"{sum(r['right'] for r in records)} of {len(records)} right")


@app.command()
def speed(kind: str = typer.Option("parallax"), opencv_pairs: int = typer.Option(4)) -> None:
    """One 49-frame 720x480 clip: our score against plain OpenCV loops, in one run."""
    frames = list(clip(kind, list(calibration_pictures().values())[:2], seed=7))
    score_frames(frames[:3], (720, 480))
    start, cpu = time.perf_counter(), time.process_time()
    report = score_frames(frames, (720, 480))
    ours = time.perf_counter() - start
    spent = f"{ours:.2f} s wall, {time.process_time() - cpu:.1f} CPU-s on {core_count()} cores"
    print(f"{kind}: score {report.score:.3f} in {spent}")
    for name, size, params in (
        ("OpenCV, default parameters, 720x480", (720, 480), None),
        ("OpenCV, our parameters, 360x240", (360, 240), TVL1Params()),
    ):
        a_clip = _plain_loop(frames, size, params, opencv_pairs) * (len(frames) - 1)
        print(
            f"{name}: {a_clip:.1f} s a clip (from {opencv_pairs} pairs), {a_clip / ours:.1f} times "
            "ours"
        )


def _plain_loop(
    frames: list[np.ndarray], size: tuple[int, int], params: TVL1Params | None, pairs: int
) -> float:
    """Seconds a pair of calc() in a loop over evenly spaced pairs."""
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for f in frames
    ]
    solver = cv2.optflow.createOptFlow_DualTVL1() if params is None else None
    backend = flow_backend("opencv", params)
    start = time.perf_counter()
    for i in np.linspace(0, len(grey) - 2, pairs).astype(int):
        if solver is not None:
            solver.calc(grey[i], grey[i + 1], None)
        else:
            backend.flow(grey[i][None], grey[i + 1][None])
    return (time.perf_counter() - start) / pairs


@app.command()
def agreement(frames: int = typer.Option(FRAMES), picture: str = typer.Option("coffee")) -> None:
    """The score of our backend against the OpenCV backend's, for every kind of clip."""
    sources = calibration_pictures()
    worst = 0.0
    for number, kind in enumerate(KINDS):
        shots = list(clip(kind, _pair_of(sources, picture), number, frames=max(frames, 33)))[
            -frames:
        ]
        a, b = (score_frames(shots, (720, 480), name) for name in ("numba", "opencv"))
        worst = max(worst, abs(a.score - b.score))
        print(
            f"{kind:15} {a.score:.4f} {b.score:.4f} "
            f"{'' if a.accepted == b.accepted else 'DIFFERS'}",
            flush=True,
        )
    print(f"largest difference {worst:.4f}")


@app.command()
def invariance() -> None:
    """The same motion at another resolution and at another rate."""
    sources = calibration_pictures()
    for kind in (
        "slow pan",
        "swing",
        "ease",
        "fast zoom",
        "parallax",
        "handheld large",
        "noise 15",
    ):
        pair = _pair_of(sources, "coffee")
        scores = [
            score_frames(clip(kind, pair, 3, size=size), size).score
            for size in ((720, 480), (1440, 960))
        ]
        _compare(kind, "720x480", scores[0], "1440x960", scores[1])
    for kind in ("slow pan", "swing", "ease", "fast zoom", "parallax"):
        pair = _pair_of(sources, "coffee")
        slow = score_frames(clip(kind, pair, 3), (720, 480), rate=8).score
        fast = score_frames(clip(kind, pair, 3, frames=145, pace=1 / 3), (720, 480), rate=24).score
        _compare(kind, "8 fps", slow, "24 fps", fast)


def _compare(kind: str, one: str, first: float, other: str, second: float) -> None:
    print(
        f"{kind:15} {one} {first:.3f}   {other} {second:.3f}   {abs(first - second):.3f}",
        flush=True,
    )


@app.command()
def memory(frames: int = typer.Option(3000)) -> None:
    """Peak memory of the process that scores a long file."""
    with tempfile.TemporaryDirectory() as folder:
        path = _long_clip(Path(folder), frames)
        start = time.perf_counter()
        report = score_file(path, None, lambda *_: None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{report.frames} frames: peak {peak:.0f} MiB, {time.perf_counter() - start:.0f} s, "
        f"{report.score:.3f}"
    )


def _long_clip(folder: Path, frames: int) -> Path:
    """A file of at least `frames` frames: one short clip, again and again."""
    picture = dead_leaves(3)
    writer = VideoWriter(folder / "short.mp4", 720, 480, 8)
    for frame in clip("swing", [picture, picture], 0):
        writer.write(frame)
    again = [
        "-stream_loop",
        str(-(-frames // FRAMES) - 1),
        "-i",
        str(writer.commit()),
        "-c",
        "copy",
    ]
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *again, str(folder / "long.mp4")],
        check=True,
    )
    return folder / "long.mp4"


if __name__ == "__main__":
    app()
