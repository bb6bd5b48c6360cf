"""Folders where processes met: those of leaders that were killed are removed, and no others."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from src.core.paths import REPOSITORY
from src.engine.meeting import LOCK, PREFIX, MeetingPlace, remove_left

LEAD = (
    "from src.engine.meeting import MeetingPlace; place = MeetingPlace(); "
    "print(place.file.parent, flush=True); input()"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def lead(folder):
    """A leader in a process of its own, and its folder."""
    leader = subprocess.Popen(
        [sys.executable, "-c", LEAD], cwd=REPOSITORY, env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return leader, leader.stdout.readline().strip()


def test_a_place_is_removed_when_it_is_left(folder):
    place = MeetingPlace()
    assert [each.name for each in folder.iterdir()] == [place.file.parent.name]
    assert [each.name for each in place.file.parent.iterdir()] == [LOCK]
    place.close()
    assert list(folder.iterdir()) == []


def test_a_place_that_a_cleaner_removed_first_is_left_without_a_word(folder):
    place = MeetingPlace()
    shutil.rmtree(place.file.parent)
    place.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(place._lock)


def test_a_folder_in_the_place_of_the_lock_is_none_of_ours(folder):
    other = folder / f"{PREFIX}other" / LOCK
    other.mkdir(parents=True)
    place = MeetingPlace()
    place.close()
    assert remove_left() == [] and other.is_dir()


def test_what_a_killed_leader_left_is_removed_by_the_next_one(folder):
    killed, left = lead(folder)
    living, kept = lead(folder)
    killed.kill()
    killed.wait()
    place = MeetingPlace()
    assert sorted(map(str, folder.iterdir())) == sorted([kept, str(place.file.parent)])
    assert left != kept
    living.communicate("\n", timeout=60)
    place.close()


def test_what_is_just_being_made_and_what_is_none_of_ours_stay(folder):
    making, other = folder / f"{PREFIX}new", folder / "newsreel-other"
    making.mkdir()
    other.mkdir()
    (other / LOCK).touch()
    assert remove_left() == []
    assert making.is_dir() and other.is_dir()
    (making / LOCK).touch()
    assert remove_left() == [making]
