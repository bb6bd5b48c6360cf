"""Videos that are enlarged go the road of clips: filters, finishers, hash, publication, record."""

import csv
import json

import numpy as np
import pytest

from src.artifacts.local import LocalStore
from src.cli.inference import inference_app
from src.cli.upscale_video import upscale_video_app
from src.core.errors import CancelledError
from src.core.files import sha256_of
from src.core.paths import home
from src.core.progress import CancelToken, ignore
from src.engine.filters import each
from src.engine.finishing import FILTERS, FINISHERS
from src.engine.publisher import Publisher
from src.media.reader import VideoReader
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.ledger import Ledger
from src.upscaling.stream import upscale_video
from tests.command_kit import run_here, use_weights

SIDE = 16
TRAILER = b"\x00\x00\x00\x08free"


@pytest.fixture(autouse=True)
def _tiny_weights(weights, monkeypatch):
    use_weights(monkeypatch, weights)


@pytest.fixture
def told(monkeypatch):
    """A filter that draws the frame's number as grey into a corner, and a finisher that appends a
    box.
    """
    seen = []

    def numbered(frame, index):
        frame[:SIDE, :SIDE] = np.iinfo(frame.dtype).max * (index + 1) // 32
        return frame

    def signed(file, context):
        seen.append(context.manifest)
        with file.open("ab") as stream:
            stream.write(TRAILER)

    monkeypatch.setitem(FILTERS, "numbered", each(numbered))
    monkeypatch.setitem(FINISHERS, "signed", signed)
    return seen


@pytest.fixture
def clip(tmp_path, ffmpeg):
    """Fifteen frames of 32x24, of which each but the first is shown twice."""
    path = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x24:rate=5:duration=3", "-vf",
           "fps=10,fps=5:round=up", "-frames:v", 15, "-c:v", "ffv1", path)  # fmt: skip
    return path


def numbers(path):
    """What is read from the corners."""
    with VideoReader(path) as reader:
        return [round(frame.array[:SIDE, :SIDE].mean() * 32 / 255) - 1 for frame in reader]


def publisher(cpu, listener=ignore, cancel=None):
    return Publisher(LocalStore(home()), cpu, listener, cancel or CancelToken())


def test_filters_and_finishers_are_switched_on_by_flags(told, clip, tmp_path):
    out = tmp_path / "out.mp4"
    usual = ("--input", clip, "--output", out, "--preset", "fast", "--crf", 0, "--json")
    done = run_here(upscale_video_app(), *usual, "--filters", "numbered", "--finishers", "signed")
    assert done.returncode == 0, done.stderr
    report, manifest = json.loads(done.stdout), told[0]
    assert numbers(out) == list(range(15))
    assert out.read_bytes().endswith(TRAILER) and report["sha256"] == sha256_of(out)
    assert manifest.clip.bytes == out.stat().st_size - len(TRAILER)
    assert (manifest.source, manifest.upscaler, manifest.preset) == ("clip.mkv", "newsreel", "fast")
    assert (manifest.filters, list(manifest.weights)) == (("numbered",), ["fast_2x.safetensors"])
    assert Ledger(tmp_path).knows(out)
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.json", "out.mp4"]


def test_manifest_and_row_say_how_it_was_enlarged(clip, tmp_path):
    out = tmp_path / "out.mp4"
    usual = ("--input", clip, "--output", out, "--preset", "fast", "--json")
    report = json.loads(run_here(upscale_video_app(), *usual).stdout)
    said = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert report["manifest"] == str(tmp_path / "out.json")
    assert said["clip"] == {
        "file": "out.mp4", "sha256": sha256_of(out), "bytes": out.stat().st_size,
    }  # fmt: skip
    assert (said["source"], said["upscaler"], said["scale"]) == ("clip.mkv", "newsreel", 2)
    assert str(tmp_path) not in (tmp_path / "out.json").read_text("utf-8")
    (row,) = csv.DictReader((home() / "runs.csv").open(encoding="utf-8", newline=""))
    assert (row["clip"], row["mode"], row["profile"]) == ("out.mp4", "upscale", "2x:fast")
    assert (row["frames"], row["size"], row["model"]) == ("15", "64x48", "newsreel")


def test_a_manifest_takes_nobody_elses_place(clip, tmp_path):
    theirs = {"out.json": '{"clip": {"file": "out.mov"}, "upscaler": "newsreel"}',
              "out.mp4.json": "mine"}  # fmt: skip
    for name, text in theirs.items():
        (tmp_path / name).write_text(text)
    usual = ("--input", clip, "--output", tmp_path / "out.mp4", "--preset", "fast", "--json")
    for _ in range(2):
        report = json.loads(run_here(upscale_video_app(), *usual, "--overwrite").stdout)
        assert report["manifest"] == str(tmp_path / "out.mp4.2.json")
    assert {name: (tmp_path / name).read_text() for name in theirs} == theirs


def test_without_them_the_file_is_the_one_of_the_stream_alone(clip, cpu, tmp_path):
    job = UpscaleJob(clip, tmp_path / "road.mp4", UpscalerChoice(), threads=1)
    report = publisher(cpu).enlarge(job)
    alone = upscale_video(UpscaleJob(clip, tmp_path / "alone.mp4", UpscalerChoice(), threads=1))
    assert report.target.read_bytes() == alone.target.read_bytes()


def test_a_resumed_run_with_a_filter_equals_an_unbroken_one(told, clip, cpu, tmp_path):
    usual = {"threads": 1, "segment": 5, "filters": ("numbered",), "finishers": ("signed",)}
    whole = publisher(cpu).enlarge(
        UpscaleJob(clip, tmp_path / "whole.mp4", UpscalerChoice(), **usual)
    )
    job, token = UpscaleJob(clip, tmp_path / "out.mp4", UpscalerChoice(), **usual), CancelToken()
    with pytest.raises(CancelledError):
        publisher(cpu, lambda p: token.cancel() if p.done == 7 else None, token).enlarge(job)
    assert publisher(cpu).enlarge(job).resumed >= 5
    assert job.target.read_bytes() == whole.target.read_bytes()


def test_a_finisher_that_fails_publishes_nothing(told, clip, cpu, tmp_path, monkeypatch):
    def broken(file, context):
        raise ValueError("no key")

    monkeypatch.setitem(FINISHERS, "signed", broken)
    job = UpscaleJob(clip, tmp_path / "out.mp4", UpscalerChoice(), threads=1, finishers=("signed",))
    with pytest.raises(ValueError, match="no key"):
        publisher(cpu).enlarge(job)
    assert not job.target.exists()


@pytest.mark.parametrize(("flags", "sentence"), [
    (("--filters", "sepia"), "filters: there is no 'sepia'; known: watermark, label, numbered"),
    (("--codec", "png", "--finishers", "signed"), "--finishers do not apply to png"),
])  # fmt: skip
def test_what_is_not_there_is_told_before_anything_runs(told, clip, tmp_path, flags, sentence):
    out = tmp_path / ("pictures" if "png" in flags else "out.mp4")
    done = run_here(
        upscale_video_app(), "--input", clip, "--output", out, "--preset", "fast", *flags
    )
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_the_stream_alone_does_not_leave_them_out_silently(told, clip, tmp_path):
    job = UpscaleJob(clip, tmp_path / "out.mp4", UpscalerChoice(), filters=("numbered",))
    with pytest.raises(AssertionError, match=r"Publisher\.enlarge"):
        upscale_video(job)


def test_a_worker_goes_the_same_road(told, clip, cpu, tmp_path):
    from src.worker.upscale import run_upscale

    request = {"input": clip, "preset": "fast", "filters": ["numbered"], "finishers": ["signed"]}
    run_upscale(request, tmp_path / "out.mp4", cpu, ignore, CancelToken())
    assert numbers(tmp_path / "out.mp4") == list(range(15)) and len(told) == 1


def test_clips_have_the_same_flags(told, photograph, tiny_folder, tmp_path):
    out = tmp_path / "out.mp4"
    usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder, "--width",
             64, "--num-inference-steps", 2, "--no-score", "--seed", 1, "--output-path",
             out)  # fmt: skip
    done = run_here(
        inference_app("optimized"), *usual, "--filters", "numbered", "--finishers", "signed"
    )
    assert done.returncode == 0, done.stderr
    assert numbers(out) == list(range(9)) and out.read_bytes().endswith(TRAILER)
    done = run_here(inference_app("optimized"), *usual, "--filters", "sepia")
    assert (done.returncode, "filters: there is no 'sepia'" in done.stderr) == (2, True), (
        done.stderr
    )
