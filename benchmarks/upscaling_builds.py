"""What each build of a network costs here: the network alone, the stream, and the whole command.

    python -m benchmarks.upscaling_builds --preset fast --pairs 2

CPU seconds of this process and its children, runs in turn: of wall time a busy machine takes any
share. "torch, layer by layer" is the network as it is written, what float32 was before it was
folded; the stream and the command have no such row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import torch

from benchmarks.upscaling_throughput import sample_clip
from src.core.files import sha256_of
from src.evaluation.pages import markdown_table
from src.upscaling.backends import UpscalerChoice
from src.upscaling.builds.forms import TorchForm
from src.upscaling.builds.kinds import KINDS, Kind
from src.upscaling.builds.opening import Opener, seconds_a_frame
from src.upscaling.files import preset_files
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video
from src.upscaling.weights import load_network

LAYERS = "torch, layer by layer"


def main() -> None:
    asked = parse()
    torch.set_num_threads(asked.threads)
    kinds = [kind for kind in KINDS if not kind.by_name and kind.lacks("cpu") is None]
    network = network_rows(asked.preset, asked.scale, kinds)
    with tempfile.TemporaryDirectory() as made:
        clip = sample_clip(Path(made), asked.frames, 360, 240)
        stream = in_turn(kinds, asked.pairs, lambda kind: stream_once(asked, kind, clip))
        command = in_turn(kinds, asked.pairs, lambda kind: command_once(asked, kind, clip))
    rows = [(name, 1000 * seconds, *(_shown(each.get(name)) for each in (stream, command)))
            for name, seconds in network.items()]  # fmt: skip
    header = ("form", "network, ms a frame of 240x160", "stream, s", "whole command, s")
    print(markdown_table(header, rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def network_rows(preset: str, scale: int, kinds: list[Kind]) -> dict[str, float]:
    """CPU seconds of a frame, by form."""
    path = preset_files(preset, scale)[0].path
    network = load_network(path)
    opener = Opener(network, path, sha256_of(path))
    forms = [TorchForm(network), *(opener.load(kind).form for kind in kinds)]
    names = [LAYERS, *(kind.name for kind in kinds)]
    return dict(zip(names, seconds_a_frame(network, forms), strict=True))


def in_turn(kinds: list[Kind], pairs: int, once: Callable[[Kind], float]) -> dict[str, list[float]]:
    """CPU seconds of each run, by the kind's name."""
    taken: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for _ in range(pairs):
        for kind in kinds:
            taken[kind.name].append(once(kind))
    return taken


def stream_once(asked: argparse.Namespace, kind: Kind, clip: Path) -> float:
    choice = UpscalerChoice(asked.preset, asked.scale, runtime=kind.runtime,
                            precision=kind.precision)  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        began = time.process_time()
        upscale_video(UpscaleJob(clip, Path(made) / "out.mp4", choice, threads=asked.threads))
        return time.process_time() - began


def command_once(asked: argparse.Namespace, kind: Kind, clip: Path) -> float:
    with tempfile.TemporaryDirectory() as made:
        began = getrusage(RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "src.upscale_video", "--input", clip, "--output",
             Path(made) / "out.mp4", "--preset", asked.preset, "--scale", str(asked.scale),
             "--runtime", kind.runtime, "--precision", kind.precision, "--threads",
             str(asked.threads), "--quiet"],
            check=True,
        )  # fmt: skip
        ended = getrusage(RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def _shown(seconds: list[float] | None) -> str:
    return ", ".join(f"{each:.1f}" for each in seconds or ()) or "-"


if __name__ == "__main__":
    main()
