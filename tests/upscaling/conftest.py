"""Tiny seeded networks in place of the shipped ones, and a clip to enlarge."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from src.catalog.upscalers import find_upscaler
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.network import VideoNetwork, build_network
from src.upscaling.presets import NetworkSpec
from src.upscaling.stream import upscale_video


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks are no faster with more, and much slower beside other work."""
    torch.set_num_threads(1)


def tiny_network(scale: int = 2, seed: int = 0, **shape) -> VideoNetwork:
    """A network of every part, with weights that do something everywhere, alignment included."""
    torch.manual_seed(seed)
    usual = {"channels": 8, "blocks": 1, "trunk": 8, "taps": 3, "groups": 2, "bound": 2.0,
             "align": 4, "attention": 1, "heads": 2, "window": 4}  # fmt: skip
    network = build_network(NetworkSpec(scale=scale, **usual | shape)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.03 * torch.randn_like(parameter))
    return network


@pytest.fixture
def choice(weights) -> UpscalerChoice:
    return UpscalerChoice("fast", 2, "cpu", folder=weights)


@pytest.fixture(scope="session")
def clip(tmp_path_factory, ffmpeg) -> Path:
    """25 moving frames of 48x32 at 10 fps."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2.5", "-pix_fmt", "yuv420p", path
    )
    return path


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """(9, 40, 56, 3) uint8: a textured picture that moves."""
    random = np.random.default_rng(3)
    picture = np.kron(random.integers(0, 256, (20, 28, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.stack([picture[t : t + 40, 2 * t : 2 * t + 56] for t in range(9)])


def use_gate(patch: pytest.MonkeyPatch, preset: str, **changes: float) -> None:
    """The gate of a preset with these changes."""
    spec = find_upscaler("newsreel")
    changed = spec.presets[preset].model_copy(
        update={"gate": spec.presets[preset].gate.model_copy(update=changes)}
    )
    other = spec.model_copy(update={"presets": spec.presets | {preset: changed}})
    patch.setattr("src.upscaling.backends.find_upscaler", lambda _: other)


@pytest.fixture
def report_of(choice, tmp_path):
    """Enlarge a file with the tiny network; gives the report."""

    def run(source, name="out.mp4", **fields):
        quick = {} if fields.get("codec", "x264") != "x264" else {"encoder_preset": "ultrafast"}
        fields = quick | {"choice": choice, "threads": 1, "segment": 10} | fields
        return upscale_video(UpscaleJob(source, tmp_path / "out" / name, **fields))

    return run


@pytest.fixture
def enlarge(report_of):
    """The same; gives the output."""

    def run(source, name="out.mp4", **fields) -> Path:
        return report_of(source, name, **fields).target

    return run


@pytest.fixture(scope="session")
def rich(tmp_path_factory, ffmpeg) -> Path:
    """A Matroska file at a variable rate with two sound tracks, subtitles, chapters, a title and an
    attachment.
    """
    folder = tmp_path_factory.mktemp("rich")
    (folder / "words.srt").write_text(
        "1\n00:00:00,200 --> 00:00:01,000\nHello\n\n2\n00:00:01,200 --> 00:00:02,000\nBye\n"
    )
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A "
        "day\ncomment=kept\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2400\ntitle=Two\n"
    )
    (folder / "note.txt").write_text("attached")
    path = folder / "rich.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2.5", "-f", "lavfi", "-i",
        "sine=440:duration=2.5", "-f", "lavfi", "-i", "sine=880:duration=2.5", "-i",
        folder / "words.srt", "-i", folder / "meta.txt", "-map", 0, "-map", 1, "-map", 2, "-map", 3,
        "-map_metadata", 4, "-vf", "settb=1/1000,setpts='PTS+mod(N,3)*0.03/TB'", "-fps_mode",
        "passthrough", "-enc_time_base:v", "1:1000", "-c:v", "libx264", "-pix_fmt", "yuv420p",
        "-c:a:0", "aac", "-c:a:1", "libopus", "-c:s", "srt", "-metadata:s:a:0", "language=fra",
        "-metadata:s:a:1", "language=deu", "-attach", folder / "note.txt", "-metadata:s:t",
        "mimetype=text/plain", path,
    )  # fmt: skip
    return path


def times(path: Path, kind: str = "video", number: int = 0) -> list[Fraction]:
    """Presentation times of a track's packets, in order."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return sorted(
            p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and p.size
        )


def payload(path: Path, kind: str, number: int) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
