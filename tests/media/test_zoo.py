"""Every kind of video that FFmpeg makes here goes through upscaling, scoring and training's
preflight.

None of them ends in a traceback, and what a file is stays: frames and their times, tracks, tags.
"""

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest

from src.cli.temporal_consistency import score_file
from src.core.errors import BadInputError
from src.media.reader import VideoReader
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.report import UpscaleReport
from src.upscaling.stream import upscale_video
from tests.training.lora_kit import look

from .zoo import CASES, PLAIN, build

KEPT = (
    "primaries",
    "transfer",
    "matrix",
    "full_range",
    "rotation",
    "sample_aspect_ratio",
    "display_matrix",
)
SAID = {"hlg.mp4": "HLG", "pq.mkv": "PQ", "one.mp4": "at least two frames"}
"""Of the cases that are not scored or trained on, and why."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zoo")
    return {name: path for name, case in CASES.items() if (path := build(case, folder))}


@pytest.fixture(scope="module")
def enlarged(zoo, tmp_path_factory, weights) -> dict[str, UpscaleReport]:
    folder = tmp_path_factory.mktemp("enlarged")
    choice = UpscalerChoice("fast", 2, "cpu", folder=weights)
    return {name: upscale_video(_job(path, folder, choice)) for name, path in zoo.items()}


def _job(path: Path, folder: Path, choice: UpscalerChoice) -> UpscaleJob:
    coded = {"clear.mov": ("prores", ".mov"), "clear.webm": ("vp9", ".webm")}
    codec, suffix = coded.get(path.name, ("x264", ".mkv"))
    preset = "ultrafast" if codec == "x264" else None
    return UpscaleJob(
        path, folder / f"{path.name}{suffix}", choice, codec=codec, encoder_preset=preset, threads=1
    )


def _shown(path: Path) -> list[Fraction]:
    """When the main video's frames are shown, by plain decoding, in seconds since the first track
    began.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        begins = [s.start_time * s.time_base for s in container.streams if s.start_time is not None]
        packets = (
            packet for packet in container.demux(stream) if packet.size or packet.dts is None
        )
        frames = [frame for packet in packets for frame in packet.decode()]
    times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None]
    return [time - min([*begins, *times[:1]], default=0) for time in times]


def test_the_zoo_is_here(zoo):
    """What a build of FFmpeg lacks is left out, but not most of it."""
    assert len(zoo) > 0.8 * len(CASES)


def test_frames_and_their_times_stay(zoo, enlarged):
    for name, report in enlarged.items():
        case = CASES[name]
        given, made = _shown(zoo[name]), _shown(report.target)
        count = len(given) if case.frames is None else case.frames
        assert report.frames == len(made) == count * (2 if case.fields else 1), name
        given = given or [
            Fraction(n, 25) for n in range(case.frames)
        ]  # streams that state no times
        step = 2 if case.fields else 1
        apart = [
            float(a - made[0] - (b - given[0])) for a, b in zip(made[::step], given, strict=True)
        ]
        assert max(map(abs, apart)) < 0.0016, (name, apart)  # Matroska counts in milliseconds
        assert made == sorted(made), name


def test_tracks_stay_or_are_told(zoo, enlarged):
    for name, report in enlarged.items():
        with av.open(str(zoo[name])) as given, av.open(str(report.target)) as made:
            left = [
                s
                for s in given.streams
                if not any(f"track {s.index} " in said for said in report.lost)
            ]
            kinds = [s.type for s in left if s.type in ("video", "audio", "subtitle")]
            assert [s.type for s in made.streams if s.type != "data"] == kinds, (name, report.lost)
            sounds = [s.codec_context.name for s in left if s.type == "audio"]
            assert sounds == [s.codec_context.name for s in made.streams.audio], name
            assert len(left) == len(given.streams) or "wma" in str(report.lost), (name, report.lost)


def test_tags_stay(zoo, enlarged):
    for name, report in enlarged.items():
        with VideoReader(zoo[name]) as given, VideoReader(report.target) as made:
            for tag, value in CASES[name].tags.items():
                assert getattr(given.info, tag) == getattr(made.info, tag) == value, (name, tag)
            if zoo[name].suffix != ".apng":
                _same_tags(name, given.info, made.info)
            assert (made.info.width, made.info.height) == (
                2 * given.info.width,
                2 * given.info.height,
            )


def _same_tags(name: str, given, made) -> None:
    for tag in KEPT:
        if getattr(given, tag) is not None:
            assert getattr(given, tag) == getattr(made, tag), (name, tag)


def test_interlaced_ones_are_told(enlarged):
    told = {
        name
        for name, report in enlarged.items()
        if any("interlaced" in sentence for sentence in report.lost)
    }
    assert told == {name for name in enlarged if CASES[name].fields}


@pytest.mark.parametrize("each", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_all_are_scored_or_told_why_not(zoo, each):
    """Of the plain ones every fourth, and all with flags: flow takes its time."""
    plain = [name for name in zoo if CASES[name] in PLAIN][::each]
    for name in [*plain, *(name for name in zoo if CASES[name] not in PLAIN)]:
        path = zoo[name]
        try:
            report = score_file(path, None, lambda *_: None)
        except BadInputError as error:
            assert SAID.get(name, "") in str(error) and name in SAID, (name, str(error))
        else:
            count = CASES[name].frames or report.frames
            assert 0 <= report.score <= 1 and report.frames == count, name


def test_training_looks_at_all_of_them(zoo, tmp_path, tiny_folder):
    entries = [{"id": str(number), "video_path": str(path), "prompt": "a test card",
                "source": "made here", "licence": "CC0-1.0", "rights": "none", "split": "train"}
               for number, path in enumerate(zoo.values())]  # fmt: skip
    (tmp_path / "metadata.json").write_text(json.dumps(entries), "utf-8")
    found = look(tmp_path / "metadata.json", tiny_folder, tmp_path / "out", frames=(1,))
    assert all(isinstance(problem, str) for problem in found.problems)
