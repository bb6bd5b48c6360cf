"""Runs that end early: what is kept, what goes on, what is said."""

import re
from dataclasses import replace

import pytest

from src.core.errors import BadInputError, CancelledError, OutputError
from src.core.progress import CancelToken
from src.core.upscale_request import EnhanceSettings
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import DEPTH, upscale_video
from tests.small_disk import small_disk

from .conftest import UpscalerChoice


def unbroken(job: UpscaleJob) -> bytes:
    return upscale_video(job).target.read_bytes()


@pytest.mark.parametrize("steady", [0.0, 0.5])
@pytest.mark.parametrize("stop_after", [3, 10, 24])
def test_a_stopped_run_goes_on_and_gives_the_unbroken_file(
    clip, choice, tmp_path, steady, stop_after
):
    fields = {
        "choice": choice,
        "enhance": EnhanceSettings(steady=steady),
        "threads": 1,
        "segment": 10,
        "encoder_preset": "ultrafast",
    }
    whole = unbroken(UpscaleJob(clip, tmp_path / "a" / "out.mp4", **fields))
    job, token = UpscaleJob(clip, tmp_path / "b" / "out.mp4", **fields), CancelToken()

    def watch(progress):
        if progress.done == stop_after:
            token.cancel()

    with pytest.raises(CancelledError, match="the same command goes on") as stopped:
        upscale_video(job, watch, token)
    assert not job.target.exists()
    report = upscale_video(job)
    assert report.resumed == int(re.search(r"(\d+) frames are kept", str(stopped.value))[1])
    waiting = 2 + DEPTH[1]  # what was enlarged when the run was stopped is still encoded
    assert stop_after // 10 * 10 <= report.resumed <= min(stop_after + waiting, 25)
    assert job.target.read_bytes() == whole
    assert [p.name for p in job.target.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    "other", [{"upscaler": "another"}, {"guidance_scale": 3.0}, {"seed": 1}, {"prompt": "a"}]
)
def test_what_chooses_other_pictures_has_another_key(clip, choice, tmp_path, other, monkeypatch):
    """Also where the weights are the same, or none: a checkpoint of the one is not gone on with by
    the other.
    """
    spec = choice.spec
    monkeypatch.setattr("src.upscaling.backends.find_upscaler", lambda _: spec)
    jobs = [
        UpscaleJob(clip, tmp_path / "out.mp4", each, threads=1)
        for each in (choice, replace(choice, **other))
    ]
    assert jobs[0].decides({}) != jobs[1].decides({})
    # 3: before fields, pulldown and transparency were read
    assert jobs[0].decides({})["format"] == 4


def test_other_settings_do_not_use_what_was_kept(clip, choice, tmp_path):
    token = CancelToken()
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10)
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 15 else None, token)
    other = UpscaleJob(
        clip, tmp_path / "out.mp4", choice, EnhanceSettings(sharpen=0.5), threads=1, segment=10
    )
    assert upscale_video(other).resumed == 0


def test_a_second_run_on_the_same_output_is_refused(clip, choice, tmp_path):
    from src.upscaling.checkpoint import Checkpoint

    folder = Checkpoint(tmp_path / "out.mp4", {"a": 1})
    (folder.path / "pid").write_text("1")
    with pytest.raises(BadInputError, match="process 1 is writing"):
        Checkpoint(tmp_path / "out.mp4", {"a": 1})


def test_a_lock_whose_process_number_came_again_does_not_count(tmp_path):
    """As after a restart of a container, where numbers begin anew."""
    import os

    from src.upscaling.checkpoint import Checkpoint

    folder = Checkpoint(tmp_path / "out.mp4", {"a": 1})
    (folder.path / "pid").write_text(str(os.getppid()))
    os.utime(folder.path / "pid", (1000, 1000))
    assert Checkpoint(tmp_path / "out.mp4", {"a": 1}).path == folder.path


def test_a_run_that_goes_on_cuts_as_it_began_whatever_memory_is_free_now(
    clip, choice, tmp_path, monkeypatch
):
    """Tiles round otherwise than whole frames, so what is free now must not decide."""
    from src.upscaling import network_backend, runtime

    job, token, used = (
        UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10),
        CancelToken(),
        [],
    )
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 15 else None, token)
    monkeypatch.setattr(runtime, "free_memory", lambda _: 1)
    real = network_backend.NetworkBackend.enlarge

    def enlarge(self, *arguments):
        used.append(self.runners[0].budget)
        return real(self, *arguments)

    monkeypatch.setattr(network_backend.NetworkBackend, "enlarge", enlarge)
    upscale_video(job)
    assert used and min(used) > 1 << 20


@pytest.mark.parametrize("steady", [0.0, 0.5])
def test_a_disk_that_is_really_full_is_said(clip, choice, tmp_path, steady):
    with small_disk(tmp_path, 48) as disk:
        job = UpscaleJob(
            clip,
            disk / "out.mp4",
            choice,
            EnhanceSettings(steady=steady),
            crf=0,
            threads=1,
            segment=10,
        )
        with pytest.raises(OutputError, match="disk is full"):
            upscale_video(job)
        assert not job.target.exists()


def test_a_full_disk_is_said_and_the_rest_is_kept(clip, choice, tmp_path, monkeypatch):
    import errno

    from src.media import segments

    real = segments.SegmentWriter._store
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10)

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, _):
            raise OSError(errno.ENOSPC, "no space")

        def close(self):
            self.file.close()

    def store(self, packets):
        if self.path.stem == "000001" and not isinstance(self._file, Full):
            self._file = Full(self._file)
        real(self, packets)

    monkeypatch.setattr(segments.SegmentWriter, "_store", store)
    with pytest.raises(OutputError, match="disk is full"):
        upscale_video(job)
    assert not job.target.exists()
    monkeypatch.setattr(segments.SegmentWriter, "_store", real)
    assert upscale_video(job).resumed == 10


def test_a_killed_run_goes_on_and_gives_the_unbroken_file(clip, weights, tmp_path):
    """kill -9 in the middle of a segment, in a process of its own."""
    import os
    import signal
    import subprocess
    import sys

    script = """
import os, signal, sys
from pathlib import Path
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video
source, target, weights = map(Path, sys.argv[1:])
job = UpscaleJob(source, target, UpscalerChoice("fast", 2, folder=weights), threads=1, segment=10)
upscale_video(job, lambda p: os.kill(os.getpid(), signal.SIGKILL) if p.done == 17 else None)
"""
    target = tmp_path / "out.mp4"
    done = subprocess.run(
        [sys.executable, "-c", script, clip, target, weights], timeout=120, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL and not target.exists()
    job = UpscaleJob(
        clip, target, UpscalerChoice("fast", 2, "cpu", folder=weights), threads=1, segment=10
    )
    assert upscale_video(job).resumed == 10
    assert target.read_bytes() == unbroken(
        UpscaleJob(clip, tmp_path / "whole.mp4", job.choice, threads=1, segment=10)
    )
