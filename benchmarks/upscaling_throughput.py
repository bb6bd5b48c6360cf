"""python -m benchmarks.upscaling_throughput: the stream against its stages, and against a plain
loop.

Everything in one run on one clip: decoding alone, the network alone, encoding alone, the stream;
then a loop as people write it: cv2.VideoCapture, one window of five frames at a time through the
same network in plain fp32 PyTorch, cv2.VideoWriter. Between the two, the loop with one of the
stream's gains after the other, to say where it comes from.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from src.core.memory import keep_freed_memory
from src.core.upscale_request import EnhanceSettings
from src.media.reader import VideoReader
from src.media.segments import SegmentWriter
from src.media.writer import VideoWriter
from src.scenes.sampler import SceneSampler
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.files import preset_files
from src.upscaling.job import UpscaleJob
from src.upscaling.registry import load_backend
from src.upscaling.stream import upscale_video
from src.upscaling.weights import load_network


def sample_clip(folder: Path, frames: int, width: int, height: int) -> Path:
    """A rendered clip with a moving camera."""
    drawn = SceneSampler(width, height, 5, canvases=2).clip(3, frames).scene.frames()
    with VideoWriter(folder / "clip.mp4", width, height, 8) as writer:
        for frame in drawn:
            writer.write(frame)
        return writer.commit()


def seconds(body: Callable[[], object], repeats: int) -> float:
    """The best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        body()
        best = min(best, time.perf_counter() - begin)
    return best


def plain_loop(source: Path, target: Path, preset: str, channels_last: bool) -> int:
    """One window at a time; the middle frame of five is kept."""
    network = load_network(preset_files(preset, 2)[0].path)
    if not channels_last:
        network = network.to(memory_format=torch.contiguous_format)
    capture, frames = cv2.VideoCapture(str(source)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(frame[..., ::-1])
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(
        str(target), cv2.VideoWriter_fourcc(*"mp4v"), 8, (2 * width, 2 * height)
    )
    with torch.no_grad():
        for index in range(len(frames)):
            window = [frames[min(max(index + step, 0), len(frames) - 1)] for step in range(-2, 3)]
            clip = torch.from_numpy(np.stack(window).copy()).permute(0, 3, 1, 2)[None].float() / 255
            made = (
                network(clip, torch.zeros(1, 2))[0, 2]
                .permute(1, 2, 0)
                .clamp(0, 1)
                .mul(255)
                .round()
                .byte()
                .numpy()
            )
            writer.write(np.ascontiguousarray(made[..., ::-1]))
    writer.release()
    return len(frames)


def decode(source: Path) -> np.ndarray:
    with VideoReader(source) as reader:
        return np.stack([frame.array for frame in reader])


def encode(job: UpscaleJob, frames: list, folder: Path) -> None:
    with VideoReader(job.source) as reader:
        writer = SegmentWriter(folder, 0, job.video_format(reader.info))
    for frame in frames:
        writer.write(frame)
    writer.finish()


def measure(preset: str, frames: int, width: int, height: int, repeats: int) -> dict[str, float]:
    """Seconds of everything for one clip; the threads of the network are torch's own number."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = sample_clip(folder, frames, width, height)
        job = UpscaleJob(
            source, folder / "out.mp4", UpscalerChoice(preset, 2), threads=torch.get_num_threads()
        )
        plain = seconds(lambda: plain_loop(source, folder / "plain.mp4", preset, False), 1)
        last = seconds(lambda: plain_loop(source, folder / "plain.mp4", preset, True), 1)
        keep_freed_memory()
        kept = seconds(lambda: plain_loop(source, folder / "plain.mp4", preset, True), 1)
        backend, whole = (
            load_backend(job.choice),
            (Stretch(decode(source)), EnhanceSettings(), UpscaleRun()),
        )
        stream = seconds(lambda: upscale_video(job, backend=backend), repeats)
        with VideoReader(job.target) as reader:
            large = list(reader)
        return {
            "frames": frames,
            "threads": torch.get_num_threads(),
            "decode": seconds(lambda: decode(source), repeats),
            "network": seconds(lambda: list(enlarged(backend, *whole)), repeats),
            "encode": seconds(lambda: encode(job, large, folder), repeats),
            "stream": stream,
            "plain loop": plain,
            "plain loop, channels last": last,
            "plain loop, channels last, freed memory kept": kept,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", default="360x240")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    result = measure(given.preset, given.frames, width, height, given.repeats)
    slowest = max(result[name] for name in ("decode", "network", "encode"))
    result["stream / slowest stage"] = result["stream"] / slowest
    result["plain loop / stream"] = result["plain loop"] / result["stream"]
    print(json.dumps({name: round(float(value), 3) for name, value in result.items()}, indent=2))


if __name__ == "__main__":
    main()
