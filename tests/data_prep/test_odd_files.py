"""One odd file never ends a preparation, and no two clips become one."""

import codecs
import json
import shutil

import pytest

from src.data_prep.files import write_clip
from src.datasets.manifest import read_dataset
from src.engine.batching.jobs_file import read_batch

from .test_prepare_metadata import call, moving

ORIGIN = ("--source", "own", "--licence", "own", "--rights", "all")


def prepare(folder, *more):
    output = folder.parent / "m.json"
    result = call("--videos", folder, "--output", output, "--held-out-share", 0, *ORIGIN, *more)
    assert result.exit_code == 0, result.output
    return read_dataset(output), json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    write_clip(folder / "one.mp4", moving(1, step=1), 8)
    (folder / "one.txt").write_text("a caption", encoding="utf-8")
    return folder


def test_what_other_systems_leave_is_no_clip(folder):
    (folder / "._one.mp4").write_bytes(b"\0\5\x16\7AppleDouble")
    (folder / "__MACOSX").mkdir()
    shutil.copy(folder / "one.mp4", folder / "__MACOSX" / "one.mp4")
    dataset, report = prepare(folder)
    assert [entry.id for entry in dataset.entries] == ["one"]
    assert report["left_out"] == {}


@pytest.mark.parametrize(
    ("data", "prompt"),
    [(b"caf\xe9 at night", "caf\u00e9 at night"), (codecs.BOM_UTF8 + b"night", "night"),
     ("night".encode("utf-16"), "night")],
)  # fmt: skip
def test_captions_of_other_encodings(folder, data, prompt):
    (folder / "one.txt").write_bytes(data)
    assert prepare(folder)[0].entries[0].prompt == prompt


@pytest.mark.parametrize("data", ["\u0432\u0438\u0434".encode("cp1251"), b"", b"  \n\t\n"])
def test_a_clip_whose_caption_cannot_be_read_is_left_out_with_the_reason(folder, data):
    write_clip(folder / "two.mp4", moving(2, step=1), 8)
    (folder / "two.txt").write_bytes(data)
    dataset, report = prepare(folder)
    assert [entry.id for entry in dataset.entries] == ["one"]
    assert "two" in report["left_out"]["two"]


def test_a_damaged_video_is_left_out(folder):
    (folder / "two.mp4").write_bytes(b"no video" * 99)
    dataset, report = prepare(folder, "--prompt", "x")
    assert [entry.id for entry in dataset.entries] == ["one"]
    assert list(report["left_out"]) == ["two"]


def test_two_files_of_one_stem_or_one_joined_name_are_two_clips(folder):
    write_clip(folder / "a" / "b.mp4", moving(2, step=1), 8)
    write_clip(folder / "a-b.mp4", moving(3, step=1), 8)
    write_clip(folder / "x.mp4", moving(4, step=1), 8)
    write_clip(folder / "y.mp4", moving(5, step=1), 8)
    (folder / "y.mp4").rename(folder / "x.mov")
    dataset, _ = prepare(folder, "--prompt", "x")
    assert len({entry.id for entry in dataset.entries}) == len(dataset.entries) == 5
    assert len({entry.image_path for entry in dataset.entries}) == 5
    assert dataset.entries == prepare(folder, "--prompt", "x")[0].entries


def test_captions_and_clips_do_not_share_an_id(folder):
    (folder / "one.txt").write_text("first\nsecond", encoding="utf-8")
    write_clip(folder / "one-00.mp4", moving(2, step=1), 8)
    dataset, _ = prepare(folder, "--prompt", "x")
    assert len({entry.id for entry in dataset.entries}) == 3


def test_a_first_frame_is_the_clips_own_after_the_clip_was_replaced(folder):
    before = prepare(folder)[0]
    picture = before.image(before.entries[0]).read_bytes()
    write_clip(folder / "one.mp4", moving(9, step=1), 8)
    after = prepare(folder)[0]
    assert after.image(after.entries[0]) != before.image(before.entries[0])
    assert after.image(after.entries[0]).read_bytes() != picture
    assert before.image(before.entries[0]).read_bytes() == picture


def test_a_jobs_file_with_a_mark_is_read(tmp_path):
    path = tmp_path / "jobs.json"
    jobs = [{"id": "a", "input_image": "x.png", "prompt": "push in"}]
    for data in (codecs.BOM_UTF8 + json.dumps(jobs).encode(), json.dumps(jobs).encode("utf-16")):
        path.write_bytes(data)
        assert [job.id for job in read_batch(path, {})] == ["a"]
