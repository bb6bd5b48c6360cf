import json
import subprocess
from dataclasses import replace

import imageio_ffmpeg
import pytest

from src.cli.upscale_video import upscale_video_app
from src.core.upscale_request import UpscaleRequest
from src.upscaling.resolve import usual_codec
from tests.command_kit import run_here, use_weights


def run(*arguments, weights=None):
    """The command with tiny weights in place of the shipped ones."""
    with pytest.MonkeyPatch.context() as patch:
        if weights is not None:
            use_weights(patch, weights)
        return run_here(upscale_video_app(), *arguments)


@pytest.fixture
def ffmpeg():
    """Run FFmpeg with these arguments."""

    def make(*arguments):
        program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
        subprocess.run(
            [*program, *map(str, arguments)], check=True, capture_output=True, timeout=60
        )

    return make


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
        "--input",
        clip,
        "--output",
        tmp_path / "out.mp4",
        "--preset",
        "fast",
        "--threads",
        1,
        "--json",
        weights=weights,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"], report["width"], report["height"]) == (6, 64, 48)


def test_a_folder_is_a_batch_and_one_bad_file_does_not_stop_it(clip, tmp_path, weights):
    (clip.parent / "bad.mp4").write_text("no video")
    done = run(
        "--input",
        clip.parent,
        "--output",
        tmp_path / "out",
        "--preset",
        "fast",
        "--threads",
        1,
        weights=weights,
    )
    assert done.returncode == 5 and "1 of 2 videos failed" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".newsreel.json", "clip.json", "clip.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_does_not_go_into_a_file(clip, tmp_path, there):
    target = tmp_path / "out.mp4"
    if there:
        target.write_bytes(b"a file")
    done = run("--input", clip.parent, "--output", target)
    assert (done.returncode, "so --output must be one too" in done.stderr) == (2, True)
    assert target.is_file() == there
    assert not target.is_dir()


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
    (out / "clip.mp4").write_bytes(b"somebody's own")  # what we write is whole or not there
    refused = run(*command, "--sharpen", 1, weights=weights)
    assert refused.returncode == 5 and "--overwrite replaces it" in refused.stderr
    assert (out / "clip.mp4").read_bytes() == b"somebody's own"
    assert run(*command, "--sharpen", 1, "--overwrite", weights=weights).returncode == 0
    assert (out / "clip.mp4").stat().st_size > 1000


@pytest.mark.parametrize(("output", "code", "words"), [
    ("x" * 300 + ".mp4", 2, "too long"),
    ("file/out.mp4", 6, "cannot be written"),
])  # fmt: skip
def test_an_output_that_cannot_be_is_told_before_anything_runs(
    clip, tmp_path, weights, output, code, words
):
    (tmp_path / "file").write_text("x")
    done = run("--input", clip, "--output", tmp_path / output, "--preset", "fast", weights=weights)
    assert done.returncode == code and words in done.stderr and "output-path" not in done.stderr


def test_the_same_command_runs_twice_and_the_file_of_another_is_kept(clip, tmp_path, weights):
    out = tmp_path / "out.mp4"
    command = ["--input", clip, "--output", out, "--preset", "fast", "--threads", 1]
    assert run(*command, weights=weights).returncode == 0
    made = out.read_bytes()
    assert run(*command, weights=weights).returncode == 0 and out.read_bytes() == made
    other = tmp_path / "film.mp4"
    other.write_bytes(b"film")
    command[3] = other
    refused = run(*command, weights=weights)
    assert (
        refused.returncode == 2
        and "not made by this command; --overwrite replaces it" in refused.stderr
    )
    assert other.read_bytes() == b"film"
    assert (
        run(*command, "--overwrite", weights=weights).returncode == 0
        and other.stat().st_size > 1000
    )
    assert run(*command, weights=weights).returncode == 0  # it is ours now


def test_a_folder_of_pictures_that_are_not_ours_is_kept(clip, tmp_path, weights):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "00000001.png").write_bytes(b"mine")
    command = [
        "--input",
        clip,
        "--output",
        tmp_path / "mine",
        "--codec",
        "png",
        "--preset",
        "fast",
        "--threads",
        1,
    ]
    assert "--overwrite replaces it" in run(*command, weights=weights).stderr
    assert (tmp_path / "mine" / "00000001.png").read_bytes() == b"mine"


def test_the_clip_of_a_manifest_is_ours(tmp_path):
    from src.core.errors import BadInputError
    from src.upscaling.ledger import check_replaceable

    (tmp_path / "a.mp4").write_bytes(b"clip")
    with pytest.raises(BadInputError, match="--overwrite"):
        check_replaceable(tmp_path / "a.mp4", False)
    (tmp_path / "a.json").write_text('{"name": "other"}')
    with pytest.raises(BadInputError, match="--overwrite"):
        check_replaceable(tmp_path / "a.mp4", False)
    (tmp_path / "a.json").write_text('{"plan_sha256": "0", "clip": {}}')
    check_replaceable(tmp_path / "a.mp4", False)


def test_what_was_saved_before_a_damage_is_ours(clip, tmp_path, weights, ffmpeg):
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    ffmpeg("-i", clip, "-c:v", "ffv1", "-g", 1, whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    for _ in range(2):
        done = run(
            "--input",
            cut,
            "--output",
            tmp_path / "o.mkv",
            "--preset",
            "fast",
            "--threads",
            1,
            weights=weights,
        )
        assert done.returncode == 5 and "frames before it are saved" in done.stderr


def test_a_folder_takes_what_is_a_video_whatever_its_name_and_lists_the_rest(
    clip, tmp_path, weights, ffmpeg
):
    folder = clip.parent
    for name in ("A.MTS", "b.vob", "c.3gp", "d.ogv"):
        coded = ("-c:v", "mpeg4") if name == "c.3gp" else ("-pix_fmt", "yuv420p")
        ffmpeg("-i", clip, *coded, "-r", 25, folder / name)
    clip.rename(folder / "0001")
    (folder / "notes.txt").write_text("what was filmed")
    (folder / "still.png").write_bytes(b"\x89PNG")
    (folder / ".hidden").write_text("x")
    (folder / "more").mkdir()
    done = run("--input", folder, "--output", tmp_path / "out", "--preset", "fast", "--threads", 1,
               "--json", weights=weights)  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sorted(video["input"].rsplit("/", 1)[1] for video in report["videos"]) == [
        "0001",
        "A.MTS",
        "b.vob",
        "c.3gp",
        "d.ogv",
    ]
    assert sorted(path.rsplit("/", 1)[1] for path in report["left_out"]) == [
        "more",
        "notes.txt",
        "still.png",
    ]
    assert "notes.txt is left out: " in done.stderr


def test_interlaced_footage_is_told_or_refused(tmp_path, weights, ffmpeg):
    source = tmp_path / "a.MTS"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=50:duration=0.4", "-vf",
           "tinterlace=interleave_top", "-flags", "+ilme+ildct", "-pix_fmt", "yuv420p",
           source)  # fmt: skip
    command = [
        "--input",
        source,
        "--output",
        tmp_path / "o.mp4",
        "--preset",
        "fast",
        "--threads",
        1,
        "--json",
    ]
    counts = [json.loads(run(*command, *flags, weights=weights).stdout).get("frames")
              for flags in ((), ("--interlaced", "frame"), ("--interlaced", "refuse"))]  # fmt: skip
    assert counts == [20, 10, None]
    wrong = run(*command, "--interlaced", "guess", weights=weights)
    assert wrong.returncode == 2 and "field, frame, refuse" in wrong.stderr


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
    from src.media.reader import VideoReader

    monkeypatch.setattr("src.upscaling.resolve.works", lambda _: True)
    with VideoReader(clip) as reader:
        info = reader.info
    request = UpscaleRequest(input=clip, output=tmp_path / "out.mp4", scale=4)
    wide = request.model_copy(update={"compare": True})
    assert (usual_codec(request, "cuda"), usual_codec(request, "cpu")) == ("nvenc", "x264")
    for other in ({"bit_depth": 10}, {"chroma": "422"}, {"width": 1920}):
        monkeypatch.setattr(
            "src.media.reader.describe_stream", lambda *_, change=other: replace(info, **change)
        )
        assert usual_codec(request, "cuda") == "x264", other
    monkeypatch.setattr("src.media.reader.describe_stream", lambda *_: replace(info, width=1000))
    assert (usual_codec(request, "cuda"), usual_codec(wide, "cuda")) == ("nvenc", "x264")


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
    ("--threads", 0, 2, "threads: input should be greater than or equal to 1"),
    ("--denoise", 2, 2, "less than or equal to 1"),
    ("--preset", "quality", 3, "train_upscaler --preset quality"),
    ("--device", "cuda", 2, "no CUDA device"),
])  # fmt: skip
def test_wrong_flags(clip, tmp_path, weights, flag, setting, code, words):
    done = run("--input", clip, "--output", tmp_path / "out.mp4", flag, setting, weights=weights)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()
