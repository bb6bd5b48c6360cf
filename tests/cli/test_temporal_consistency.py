"""The temporal_consistency command: its JSON, its exit codes, its plot, and folders."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from src.cli.temporal_consistency import app
from src.media.writer import VideoWriter
from tests.small_disk import small_disk

ROOT = Path(__file__).resolve().parents[2]


def _write(path: Path, count: int) -> Path:
    y, x = np.mgrid[0:96, 0:160]
    writer = VideoWriter(path, 96, 64, 8)
    for i in range(count):
        wave = 127 + 60 * np.sin((x + 2 * i) / 7) + 50 * np.cos(y / 6 + x / 11)
        writer.write(np.repeat(wave[:64, :96, None], 3, axis=2).clip(0, 255).astype(np.uint8))
    return writer.commit()


@pytest.fixture
def moving(tmp_path) -> Path:
    return _write(tmp_path / "moving.mp4", 6)


def _run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_one_clip_is_one_object_on_standard_output(moving):
    command = [sys.executable, "-m", "src.temporal_consistency", str(moving), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    record = json.loads(done.stdout)
    assert {"score", "accepted", "static", "version", "clip"} <= record.keys()
    assert record["frames"] == 6


def test_without_json_a_sentence_is_said(moving):
    done = _run(moving)
    assert done.exit_code == 0
    assert "temporal score" in done.stdout


def test_a_folder_gives_a_list_and_keeps_what_could_be_scored(tmp_path, moving):
    (tmp_path / "notes.txt").write_text("no clip")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    done = _run(tmp_path, "--json")
    record = json.loads(done.stdout)
    assert done.exit_code == 5
    assert [("score" in c, "error" in c) for c in record["clips"]] == [(False, True), (True, False)]


def test_the_plot_is_a_picture(tmp_path, moving):
    assert _run(moving, "--plot", tmp_path / "curves" / "curve.png").exit_code == 0
    assert (tmp_path / "curves" / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["curve.xyz", "a.pgf", "curve", "curves", ".png"])
def test_a_plot_that_is_no_picture_is_refused_before_anything_is_scored(tmp_path, moving, name):
    (tmp_path / "curves").mkdir()
    before = sorted(tmp_path.iterdir())
    done = _run(moving, "--plot", tmp_path / name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_no_part_of_a_plot(tmp_path, moving):
    with small_disk(tmp_path, kilobytes=8) as disk:
        assert _run(moving, "--plot", disk / "curve.svg").exit_code == 6
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("arguments", [("",), ("{moving}", "--plot", "")])
def test_a_path_that_is_empty_is_not_the_current_folder(moving, monkeypatch, arguments):
    monkeypatch.chdir(moving.parent)
    done = _run(*(text.format(moving=moving) for text in arguments))
    assert done.exit_code == 2
    assert "it is empty" in done.stderr
    assert list(moving.parent.iterdir()) == [moving]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.mp4"], "nowhere.mp4"),
        (["{folder}"], "holds no video"),
        (["{one}"], "at least two frames"),
        (["{moving}", "--backend", "guess"], "guess"),
    ],
    ids=["missing", "empty folder", "one frame", "backend"],
)
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, says, tmp_path, moving):
    (tmp_path / "empty").mkdir()
    one = _write(tmp_path / "one.mp4", 1)
    names = {"folder": tmp_path / "empty", "one": one, "moving": moving}
    command = [
        sys.executable,
        "-m",
        "src.temporal_consistency",
        *(a.format(**names) for a in arguments),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_needs_no_heavy_import():
    heavy = "('torch', 'cv2', 'numba', 'av')"
    code = (
        f"import sys, src.cli.temporal_consistency; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
