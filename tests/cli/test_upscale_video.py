import json
import subprocess
import sys
from dataclasses import replace

import pytest

from src.core.paths import REPOSITORY


def run(*arguments, weights=None, **env):
    """The command with tiny weights in place of the shipped ones."""
    script = (
        "import sys; from pathlib import Path; import src.upscaling.files as files\n"
        f"files.FOLDER = Path({str(weights)!r}) if {weights is not None} else files.FOLDER\n"
        "from src.cli.upscale_video import upscale_video_app\nupscale_video_app()(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY)


@pytest.fixture
def clip(tmp_path, pixels):
    from src.media.writer import VideoWriter

    with VideoWriter(tmp_path / "in" / "clip.mp4", 32, 24, 8) as writer:
        for shift in range(6):
            writer.write(pixels[shift : shift + 24, :32])
        return writer.commit()


def test_help_is_there_at_once():
    done = run("--help")
    assert done.returncode == 0 and "--preserve-details" in done.stdout


def test_a_video_and_its_json(clip, tmp_path, weights):
    done = run(
        "--input", clip, "--output", tmp_path / "out.mp4", "--preset", "fast", "--threads", 1, "--json", weights=weights
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"], report["width"], report["height"]) == (6, 64, 48)


def test_a_folder_is_a_batch_and_one_bad_file_does_not_stop_it(clip, tmp_path, weights):
    (clip.parent / "bad.mp4").write_text("no video")
    done = run(
        "--input", clip.parent, "--output", tmp_path / "out", "--preset", "fast", "--threads", 1, weights=weights
    )
    assert done.returncode == 5 and "1 of 2 videos failed" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".newsreel.json", "clip.mp4"]


def test_a_folder_that_is_finished_is_not_done_again(clip, tmp_path, weights):
    out = tmp_path / "out"
    command = ["--input", clip.parent, "--output", out, "--preset", "fast", "--threads", 1]
    assert run(*command, weights=weights).returncode == 0
    (clip.parent / "second.mp4").write_bytes(clip.read_bytes())
    before = (out / "clip.mp4").stat()
    again = run(*command, "--json", weights=weights)
    assert "clip.mp4 is there already" in again.stderr
    assert [video.get("skipped") for video in json.loads(again.stdout)["videos"]] == [True, None]
    assert (out / "clip.mp4").stat() == before and (out / "second.mp4").is_file()
    run(*command, "--sharpen", 1, weights=weights)
    assert (out / "clip.mp4").stat().st_mtime_ns > before.st_mtime_ns
    (out / "clip.mp4").write_bytes(b"cut short")
    run(*command, "--sharpen", 1, weights=weights)
    assert (out / "clip.mp4").stat().st_size > 1000


def test_names_of_a_folder_do_not_meet_and_inputs_are_not_replaced(clip, tmp_path):
    from src.cli.upscale_video import _named

    taken = set()
    given = ("a.avi", "a.mkv", "a.mp4", "b.ts", "A.mp4", "b.mkv", "b.mkv.avi", "b.mkv.mkv")
    names = [_named(tmp_path / name, tmp_path, None, taken).name for name in given]
    assert names[:4] == ["a.mkv", "a.mkv.mkv", "a.mp4", "b.mkv"]
    assert len({name.casefold() for name in names}) == len(given)
    done = run("--input", clip.parent, "--output", clip.parent, "--preset", "fast")
    assert done.returncode == 2 and "so that none is replaced" in done.stderr


def test_the_gpus_encoder_is_not_chosen_where_it_would_lose_something(clip, tmp_path, monkeypatch):
    from src.cli.upscale_video import _usual_codec
    from src.media import encoders
    from src.media.reader import VideoReader

    monkeypatch.setattr(encoders, "works", lambda _: True)
    with VideoReader(clip) as reader:
        info = reader.info
    target = tmp_path / "out.mp4"
    assert _usual_codec(clip, target, "cuda", 2) == "nvenc" and _usual_codec(clip, target, "cpu", 2) == "x264"
    for other in ({"bit_depth": 10}, {"chroma": "422"}, {"width": 1920}):
        monkeypatch.setattr("src.media.reader.describe", lambda *_, change=other: replace(info, **change))
        assert _usual_codec(clip, target, "cuda", 4) == "x264", other


@pytest.mark.parametrize(("flags", "code", "words"), [
    ((), 2, "give --input"),
    (("--input", "none.mp4", "--output", "a.mp4"), 2, "there is no video at none.mp4"),
])  # fmt: skip
def test_bad_input_gets_one_sentence(flags, code, words):
    done = run(*flags)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("flag", "setting", "code", "words"), [
    ("--guidance-scale", 7, 2, "diffusion upscalers only"),
    ("--scale", 3, 2, "2, 4 or 8"),
    ("--scale", 0, 2, "2, 4 or 8"),
    ("--threads", 0, 2, "1 or more"),
    ("--denoise", 2, 2, "less than or equal to 1"),
    ("--preset", "quality", 3, "train_upscaler --preset quality"),
    ("--device", "cuda", 2, "no CUDA device"),
])  # fmt: skip
def test_wrong_flags(clip, tmp_path, weights, flag, setting, code, words):
    done = run("--input", clip, "--output", tmp_path / "out.mp4", flag, setting, weights=weights)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()
