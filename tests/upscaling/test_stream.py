"""Nothing is lost: each property on a file that FFmpeg made."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, MissingFileError, PartialFailureError
from src.media.reader import VideoReader
from src.media.span import Span
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video

from .conftest import UpscalerChoice, payload, times, use_gate


@pytest.mark.parametrize(("size", "count"), [("47x33", 3), ("16x16", 1), ("2x2", 2)])
def test_odd_and_small_sizes_and_one_frame(tmp_path, ffmpeg, enlarge, size, count):
    source = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10", "-frames:v", count, "-vf",
           f"format=yuv444p,crop={size.replace('x', ':')}:exact=1", "-c:v", "ffv1",
           source)  # fmt: skip
    out = enlarge(source)
    width, height = map(int, size.split("x"))
    with VideoReader(out) as made:
        assert (made.info.width, made.info.height, len(list(made))) == (
            2 * width,
            2 * height,
            count,
        )


@pytest.mark.parametrize("suffix", ["avi", "webm", "ts", "gif", "mov"])
def test_containers_are_read(tmp_path, clip, ffmpeg, enlarge, suffix):
    source = tmp_path / f"clip.{suffix}"
    ffmpeg(
        "-i",
        clip,
        "-t",
        "0.5",
        *(("-deadline", "realtime", "-cpu-used", 8) if suffix == "webm" else ()),
        source,
    )
    with VideoReader(enlarge(source, "out.mkv")) as made:
        assert len(list(made)) == 5


@pytest.mark.parametrize(
    ("codec", "name", "preset"),
    [("x265", "a.mp4", "ultrafast"), ("av1", "a.mkv", "12"), ("prores", "a.mov", "lt")],
)
def test_encoders(clip, enlarge, codec, name, preset):
    source_times = times(clip)
    out = enlarge(clip, name, codec=codec, encoder_preset=preset, span=Span(0, 1.2))
    assert [float(t) for t in times(out)] == pytest.approx(
        [float(t) for t in source_times[:12]], abs=1e-3
    )
    with VideoReader(out) as made:
        assert (made.info.width, made.info.height) == (96, 64)
        assert len(list(made)) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets threads be asked")
def test_av1_leaves_the_scheduling_of_the_process_as_it_was(clip, enlarge):
    """As root it would be of real time from then on, with all that it starts."""
    enlarge(clip, "a.mkv", codec="av1", encoder_preset="12")
    threads = [int(folder.name) for folder in Path("/proc/self/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}


def test_pictures(clip, enlarge, tmp_path):
    folder = enlarge(clip, "pictures", codec="png", encoder_preset=None)
    assert [p.name for p in sorted(folder.iterdir())] == [f"{n:08d}.png" for n in range(1, 26)]
    assert not list((tmp_path / "out").glob(".*"))


def test_pictures_of_a_rotated_clip_are_upright(tmp_path, clip, ffmpeg, enlarge):
    source = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", source)
    flat, turned = (
        enlarge(path, path.stem, codec="png", encoder_preset=None) / "00000001.png"
        for path in (clip, source)
    )
    assert np.array_equal(np.rot90(cv2.imread(str(flat))), cv2.imread(str(turned)))


def test_side_by_side(clip, enlarge):
    with VideoReader(clip) as given, VideoReader(enlarge(clip, compare=True, crf=1)) as made:
        assert made.info.width == 4 * given.info.width
        left = next(iter(made)).array[:, : 2 * given.info.width : 2][::2]
        assert np.abs(left.astype(int) - next(iter(given)).array).mean() < 12


def test_a_file_is_finished_with_the_gate_of_its_preset(clip, enlarge, monkeypatch):
    made, decides = [], []
    for most in (0.0, 1.0):
        use_gate(monkeypatch, "fast", most=most)
        made.append(payload(enlarge(clip, name=f"{most}.mp4"), "video", 0))
        decides.append(
            UpscaleJob(clip, clip.with_name("out.mp4"), UpscalerChoice("fast")).decides({})
        )
    assert made[0] != made[1]
    # an interrupted run of the one is not gone on with by the other
    assert decides[0] != decides[1]


def test_a_cascade_enlarges_eightfold(clip, enlarge, weights):
    with VideoReader(
        enlarge(clip, choice=UpscalerChoice("fast", 8, "cpu", folder=weights), span=Span(0, 0.3))
    ) as made:
        assert (made.info.width, made.info.height) == (8 * 48, 8 * 32)


def test_duplicates_cost_no_inference(tmp_path, clip, ffmpeg, choice):
    source = tmp_path / "twice.mkv"
    ffmpeg("-i", clip, "-vf", "fps=20", "-c:v", "ffv1", source)
    report = upscale_video(UpscaleJob(source, tmp_path / "out.mkv", choice, threads=1))
    assert report.frames == 50 and report.computed <= 26


def test_its_threads_do_not_stay(clip, tmp_path, choice):
    """A clip made next in this process would have other last bits."""
    seen = []
    torch.set_num_threads(3)
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=2, span=Span(0, 0.2))
    upscale_video(job, lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {2} and torch.get_num_threads() == 3


def test_progress_knows_the_end_of_matroska_too(tmp_path, clip, ffmpeg, choice):
    """It states no number of frames; without a total there is no time left to show."""
    source, totals = tmp_path / "clip.mkv", []
    ffmpeg("-i", clip, "-c", "copy", source)
    upscale_video(
        UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1),
        lambda p: totals.append(p.total),
    )
    assert set(totals) == {25}


def test_a_file_cut_in_the_middle_is_saved_up_to_there(tmp_path, ffmpeg, enlarge):
    whole = tmp_path / "whole.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:rate=10:duration=4",
        "-c:v",
        "ffv1",
        "-g",
        1,
        whole,
    )
    source = tmp_path / "cut.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(PartialFailureError, match="frames before it are saved"):
        enlarge(source, "out.mkv")
    with VideoReader(tmp_path / "out" / "out.mkv") as made:
        assert 15 < len(list(made)) < 30


def test_bad_input_is_said_in_one_sentence(clip, choice, tmp_path, weights, rich):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("no video")
    cases = [
        ({"source": tmp_path / "none.mp4"}, MissingFileError, "there is no video"),
        ({"source": empty}, BadInputError, "empty"),
        ({"source": text}, BadInputError, "cannot be read as a video"),
        ({"target": clip}, BadInputError, "is the input itself"),
        ({"target": tmp_path / "a.xyz"}, BadInputError, "goes into .mp4"),
        ({"target": tmp_path}, BadInputError, "is a folder"),
        ({"codec": "h266"}, BadInputError, "x264, x265"),
        ({"codec": "nvenc"}, BadInputError, "no encoder h264_nvenc on this machine"),
        ({"crf": 52.0}, BadInputError, "--crf is 52; for x264 it must be from 0"),
        ({"crf": 3.0, "codec": "png", "target": tmp_path / "p"}, BadInputError,
         "do not apply to png"),
        ({"span": Span(float("nan"))}, BadInputError, "--start is nan"),
        ({"span": Span(-1)}, BadInputError, "--start is -1"),
        ({"encoder_preset": "warp"}, BadInputError, "ultrafast"),
        ({"span": Span(2, 1)}, BadInputError, "not after"),
        ({"span": Span(100, 101)}, BadInputError, "shows no frame"),
        ({"choice": UpscalerChoice("fast", 3)}, BadInputError, "2, 4 or 8"),
        ({"choice": UpscalerChoice("best", 2)}, BadInputError, "fast, balanced, quality"),
        ({"choice": UpscalerChoice("fast", 2, guidance_scale=7.0, folder=weights)}, BadInputError,
         "diffusion upscalers only"),
        ({"source": rich}, BadInputError, "name the output out.mkv and nothing is lost"),
    ]  # fmt: skip
    for fields, kind, words in cases:
        usual = {"source": clip, "target": tmp_path / "out.mp4", "choice": choice, "threads": 1}
        with pytest.raises(kind, match=words):
            upscale_video(UpscaleJob(**usual | fields))
    assert not (tmp_path / "out.mp4").exists() and not list(tmp_path.glob(".*"))


def test_an_absurd_size_is_refused(tmp_path, ffmpeg, choice):
    source = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=size=9000x16:rate=10:duration=0.1", "-c:v", "ffv1", source)
    with pytest.raises(BadInputError, match="18000x32.*smaller --scale"):
        upscale_video(UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1))
