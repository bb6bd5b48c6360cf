"""Where a clip is published, and what is never replaced."""

import pytest

from src.core import durable
from src.core.errors import (
    BadInputError,
    OutputError,
)
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from tests.small_disk import small_disk


def test_the_next_clip_of_the_same_name_gets_a_number(make):
    assert [make().path.name for _ in range(3)] == [
        "pan-left-1.mp4",
        "pan-left-1-2.mp4",
        "pan-left-1-3.mp4",
    ]


def test_a_named_output_is_replaced(make, tmp_path):
    target = tmp_path / "out" / "clip.mp4"
    assert make(output_path=target).path == target
    assert make(output_path=target, seed=2).path == target
    assert sorted(p.name for p in target.parent.iterdir()) == ["clip.json", "clip.mp4"]


@pytest.mark.parametrize(
    ("target", "error"),
    [("/proc/nowhere/clip.mp4", OutputError), ("clip.avi", BadInputError), (".", BadInputError)],
)
def test_an_output_that_cannot_be_is_refused_before_anything_loads(request_for, target, error):
    with pytest.raises(error):
        prepare(request_for(output_path=target))


@pytest.mark.parametrize("kilobytes", [8, 24])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(make, tmp_path, monkeypatch, kilobytes):
    """It fills while the clip is made: before, it had room."""
    monkeypatch.setattr(durable, "TRIAL", 0)
    with small_disk(tmp_path, kilobytes) as disk:
        with pytest.raises(OutputError, match="disk is full|No space left"):
            make(output_path=disk / "clip.mp4", width=256, height=192)
        assert list(disk.iterdir()) == []


def test_a_runs_file_that_cannot_be_written_does_not_lose_the_clip(make, home):
    (home / "runs.csv").mkdir(parents=True)
    assert make().path.is_file()


def test_a_runs_file_in_another_encoding_is_set_aside(make, home):
    home.mkdir(exist_ok=True)
    (home / "runs.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    make()
    assert (home / "runs.1.csv").read_bytes() == b"caf\xe9,b\n1,2\n"


def test_two_runs_that_planned_the_same_name_keep_both_clips(request_for, cpu):
    first, second = prepare(request_for()), prepare(request_for())
    assert first.final == second.final
    paths = {generate(prepared, plans_for(prepared, cpu), cpu).path for prepared in (first, second)}
    assert len(paths) == 2
    for path in paths:
        assert read_manifest(path.with_suffix(".json")).clip.file == path.name


def test_a_manifest_never_replaces_a_file_that_is_none(request_for, tmp_path):
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    with pytest.raises(BadInputError, match="package.json, which is no manifest"):
        prepare(request_for(output_path=tmp_path / "package.mp4"))
    assert (tmp_path / "package.json").read_text("utf-8") == '{"name": "mine"}'


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "n" * 5000 + ".mp4"])
def test_a_name_too_long_for_the_partial_file_is_refused(request_for, tmp_path, name):
    with pytest.raises(BadInputError, match="too long"):
        prepare(request_for(output_path=tmp_path / name))


def test_a_clip_of_another_is_replaced_only_when_asked(request_for, tmp_path):
    (tmp_path / "mine.mp4").write_bytes(b"film")
    with pytest.raises(BadInputError, match="mine.mp4, which is no clip of ours.*--overwrite"):
        prepare(request_for(output_path=tmp_path / "mine.mp4"))
    assert (
        prepare(request_for(output_path=tmp_path / "mine.mp4", overwrite=True)).final
        == tmp_path / "mine.mp4"
    )


def test_a_clip_of_ours_is_replaced_and_a_long_name_is_taken(make, tmp_path):
    """A second run of the same command, under a name as long as a disk takes beside its
    manifest.
    """
    path = tmp_path / ("n" * 250 + ".mp4")
    first, second = make(output_path=path), make(output_path=path)
    assert first.path == second.path == path and first.frame_sha256 == second.frame_sha256
    assert "overwrite" not in read_manifest(make(output_path=path, overwrite=True).manifest).request


def test_a_home_that_cannot_be_written_is_refused_before_computing(
    request_for, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="NEWSREEL_HOME"):
        prepare(request_for(output_path=tmp_path / "clip.mp4"))


def test_a_full_disk_is_told_before_a_clip_is_made(request_for, tmp_path):
    with small_disk(tmp_path, kilobytes=512) as disk:
        with pytest.raises(OutputError, match=r"No space left on device; choose another --output"):
            prepare(request_for(output_path=disk / "clip.mp4"))
        assert not list(disk.iterdir())
