"""Manifests from annotations and from folders; what cannot be trained on is said and left out."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from src.core.errors import BadInputError, MissingFileError
from src.data_prep.annotations import read_source
from src.data_prep.files import write_clip
from src.data_prep.prepare_metadata import metadata_app
from src.datasets.manifest import read_dataset


def moving(seed, frames=18, step=2):
    """A picture that moves by so many pixels a frame; at one, none looks like a cut, which flow
    would tell from one.
    """
    picture = (
        np.random.default_rng(seed)
        .integers(0, 255, (12, 16, 3), np.uint8)
        .repeat(8, 0)
        .repeat(8, 1)
    )
    return np.stack([np.roll(picture, step * k, axis=1) for k in range(frames)])


@pytest.fixture
def msr_vtt(tmp_path):
    """Two videos with twenty captions each; a third is named and not there."""
    folder = tmp_path / "msr-vtt"
    for number in (0, 1):
        write_clip(folder / "videos" / f"video{number}.mp4", moving(number, step=1), 8)
    sentences = [
        {"video_id": f"video{v}", "caption": f"caption {k} of {v}"}
        for v in range(3)
        for k in range(20)
    ]
    (folder / "annotations").mkdir()
    (folder / "annotations" / "MSR_VTT.json").write_text(json.dumps({"sentences": sentences}))
    return folder


def call(*arguments):
    return CliRunner().invoke(metadata_app(), [*map(str, arguments), "--json"])


def test_one_entry_a_caption(msr_vtt, tmp_path):
    output = tmp_path / "metadata" / "m.json"
    result = call("--msr-vtt", msr_vtt, "--output", output, "--held-out-share", 0.5)
    assert result.exit_code == 0, result.output
    dataset = read_dataset(output)
    assert len(dataset.entries) == 40
    assert len(dataset.split("train")) == 20
    assert {entry.video_path for entry in dataset.split("train")}.isdisjoint(
        e.video_path for e in dataset.split("held_out")
    )
    assert all(
        dataset.video(entry).is_file() and dataset.image(entry).is_file()
        for entry in dataset.entries
    )
    assert dataset.entries[0].source == "MSR-VTT"
    assert len({entry.id for entry in dataset.entries}) == 40
    call("--msr-vtt", msr_vtt, "--output", output, "--limit", 7, "--held-out-share", 0)
    assert len(read_dataset(output).entries) == 7


def test_vatex(tmp_path):
    folder = tmp_path / "vatex"
    write_clip(folder / "videos" / "abc_000001_000011.mp4", moving(1), 8)
    (folder / "annotations").mkdir()
    (folder / "annotations" / "vatex_training.json").write_text(
        json.dumps([{"videoID": "abc_000001_000011", "enCap": ["one", "two"]}])
    )
    assert call("--vatex", folder, "--output", tmp_path / "m.json").exit_code == 0
    assert [entry.prompt for entry in read_dataset(tmp_path / "m.json").entries] == ["one", "two"]


def test_a_folder_of_videos_with_bad_ones(tmp_path):
    folder = tmp_path / "videos"
    write_clip(folder / "good.mp4", moving(1), 8)
    (folder / "good.txt").write_text("a caption\nanother\n")
    write_clip(folder / "z-copy.mp4", moving(1), 8)
    write_clip(folder / "short.mp4", moving(2, 4), 8)
    write_clip(folder / "cut.mp4", np.concatenate([moving(3, 9), 255 - moving(4, 9)]), 8)
    (folder / "broken.mp4").write_bytes(b"nothing")
    rights = ("--source", "own archive", "--licence", "own", "--rights", "all")
    result = call("--videos", folder, "--output", tmp_path / "m.json", "--prompt", "p", *rights)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["clips"] == 1
    assert report["entries"] == 2
    reasons = report["left_out"]
    assert "too short: 0.5 s of 2.2 s" in reasons["short"]
    assert "cuts to another shot at frame 9" in reasons["cut"]
    assert "cannot be read as a video" in reasons["broken"]
    assert reasons["z-copy"] == "duplicate of good"


def test_what_is_missing_is_said(tmp_path, msr_vtt):
    assert call("--output", tmp_path / "m.json").exit_code == 2
    with pytest.raises(MissingFileError, match="there is no folder"):
        read_source("videos", tmp_path / "none", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="needs --source"):
        read_source("videos", tmp_path / "empty", {})
    given = {"source": "a", "licence": "b", "rights": "c"}
    with pytest.raises(BadInputError, match="holds no video"):
        read_source("videos", tmp_path / "empty", given)
    with pytest.raises(MissingFileError, match="no annotations"):
        read_source("msr_vtt", tmp_path / "empty", {})
    write_clip(tmp_path / "empty" / "a.mp4", moving(1), 8)
    assert "has no caption" in read_source("videos", tmp_path / "empty", given)[0].problem
    origin = [f"--{key}={text}" for key, text in given.items()]
    result = call("--videos", tmp_path / "empty", "--output", tmp_path / "m.json", *origin)
    assert result.exit_code == 2
    assert "has no caption" in result.output


@pytest.mark.parametrize("name", ["sample_msr_vtt.json", "sample_own_archive.json"])
def test_the_sample_stubs_are_manifests(name):
    from src.core.paths import REPOSITORY

    assert len(read_dataset(REPOSITORY / "data" / "metadata" / name).split("held_out")) == 1
