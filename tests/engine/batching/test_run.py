import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from src.cli.batch import as_csv, summary
from src.core.errors import BadInputError, MissingWeightsError
from src.core.paths import REPOSITORY
from src.engine.batching.jobs_file import read_batch
from src.engine.batching.run import finished_result, plan_batch, run_batch
from src.engine.probe import probe
from src.pipelines import loading
from tests.locales import needs_utf8_names


@pytest.fixture
def jobs_file(tmp_path, tiny_folder, photograph):
    def write(count=3, **extra):
        jobs = [
            {
                "id": f"clip-{n}",
                "input_image": str(photograph),
                "prompt": ["pan left", "static"][n % 2],
            }
            | extra
            for n in range(count)
        ]
        path = tmp_path / "jobs.json"
        defaults = {"model": str(tiny_folder), "num_inference_steps": 2, "score": False}
        path.write_text(json.dumps({"defaults": defaults, "jobs": jobs}))
        return path

    return write


def run(path, folder, cpu, resume=False):
    planned = plan_batch(read_batch(path, {}), folder, cpu)
    return run_batch(planned, cpu, resume, lambda _: None)


def test_one_load_serves_all(jobs_file, tmp_path, cpu, monkeypatch):
    loads = []
    load = loading.load_pipeline
    monkeypatch.setattr(
        loading, "load_pipeline", lambda *args: loads.append(load(*args)) or loads[-1]
    )
    outcomes = run(jobs_file(4), tmp_path / "out", cpu)
    assert [outcome.state for outcome in outcomes] == ["completed"] * 4
    assert len(loads) == 1
    assert sorted(p.name for p in (tmp_path / "out").glob("*.mp4")) == [
        f"clip-{n}.mp4" for n in range(4)
    ]


def test_a_clip_of_a_batch_is_the_clip_of_a_single_command(jobs_file, tmp_path, cpu):
    from src.engine.generate import generate, plans_for, prepare

    path = jobs_file(3)
    outcomes = {outcome.id: outcome for outcome in run(path, tmp_path / "out", cpu)}
    for job in read_batch(path, {}):
        prepared = prepare(job.request)
        alone = generate(prepared, plans_for(prepared, cpu), cpu)
        assert alone.frame_sha256 == outcomes[job.id].result.frame_sha256


def test_resume_does_nothing_finished_again(jobs_file, tmp_path, cpu):
    path, folder = jobs_file(3), tmp_path / "out"
    run(path, folder, cpu)
    (folder / "clip-1.mp4").write_bytes((folder / "clip-1.mp4").read_bytes()[:-100])
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.glob("*.mp4")}
    states = {outcome.id: outcome.state for outcome in run(path, folder, cpu, resume=True)}
    assert states == {"clip-0": "skipped", "clip-1": "completed", "clip-2": "skipped"}
    for name in ("clip-0.mp4", "clip-2.mp4"):
        assert (folder / name).stat().st_mtime_ns == before[name][0]
        assert (folder / name).read_bytes() == before[name][1]


def test_a_clip_that_stepped_down_is_finished_and_one_of_another_wish_is_not(
    jobs_file, tmp_path, cpu, monkeypatch
):
    """The first is made without its cache, which fails; its manifest says so. The second never
    asked for one.
    """
    from src.core.errors import SwitchError
    from src.pipelines import tuning

    use_cache = tuning.use_cache

    def broken(transformer, cache, part):
        if cache.name != "none":
            raise SwitchError("cache", "it hooks nothing")
        use_cache(transformer, cache, part)

    monkeypatch.setattr(tuning, "use_cache", broken)
    cached, plain = {"cache": "first_block=0.5"}, {"cache": "none"}
    folder, other = tmp_path / "out", tmp_path / "other"
    assert [
        outcome.result.fallbacks != ()
        for outcome in run(jobs_file(1, seed=1, **cached), folder, cpu)
    ] == [True]
    assert [
        each.state for each in run(jobs_file(1, seed=1, **cached), folder, cpu, resume=True)
    ] == ["skipped"]
    run(jobs_file(1, seed=1, **plain), other, cpu)
    assert [
        each.state for each in run(jobs_file(1, seed=1, **cached), other, cpu, resume=True)
    ] == ["completed"]


def test_a_changed_job_is_not_taken_for_finished(jobs_file, tmp_path, cpu):
    folder = tmp_path / "out"
    run(jobs_file(2), folder, cpu)
    outcomes = run(jobs_file(2, seed=77), folder, cpu, resume=True)
    assert [outcome.state for outcome in outcomes] == ["completed", "completed"]


def test_one_bad_job_stops_the_batch_before_it_starts_and_names_itself(jobs_file, tmp_path, cpu):
    path = jobs_file(2)
    data = json.loads(path.read_text("utf-8"))
    data["jobs"][1]["num_frames"] = 13
    path.write_text(json.dumps(data))
    with pytest.raises(
        BadInputError, match="1 job.s. cannot run, none was run\n  clip-1: .*13 frames"
    ):
        plan_batch(read_batch(path, {}), tmp_path / "out", cpu)


def test_errors_of_one_kind_keep_their_exit_code(jobs_file, tmp_path, cpu, home, monkeypatch):
    monkeypatch.setattr("src.pipelines.locate._find_snapshot", lambda _: None)
    with pytest.raises(MissingWeightsError, match="2 job.s. cannot run"):
        plan_batch(read_batch(jobs_file(2), {"model": "cogvideox-5b-i2v"}), tmp_path / "out", cpu)


def test_a_bug_in_one_job_is_logged_and_the_others_run(jobs_file, tmp_path, cpu, monkeypatch):
    from src.engine.batching import run as batch

    made = batch.generate
    calls = []

    def generate(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a bug")
        return made(*args, **kwargs)

    monkeypatch.setattr(batch, "generate", generate)
    states = [outcome.state for outcome in run(jobs_file(2), tmp_path / "out", cpu)]
    assert states == ["failed", "completed"]


def test_a_job_that_fails_does_not_stop_the_others(jobs_file, tmp_path, cpu, photograph):
    path, folder = jobs_file(3), tmp_path / "out"
    other = tmp_path / "other.png"
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(other)
    data = json.loads(path.read_text("utf-8"))
    data["jobs"][0]["input_image"] = str(other)
    path.write_text(json.dumps(data))
    planned = plan_batch(read_batch(path, {}), folder, cpu)
    other.unlink()
    outcomes = run_batch(planned, cpu, False, lambda _: None)
    assert sorted(outcome.state for outcome in outcomes) == ["completed", "completed", "failed"]
    report = summary(outcomes, 2.0)
    assert (report["completed"], report["failed"], report["clips_per_hour"]) == (2, 1, 3600.0)
    rows = list(csv.DictReader(as_csv(report["jobs"]).splitlines()))
    assert "does not exist" in next(row["error"] for row in rows if row["state"] == "failed")


def test_two_jobs_for_one_file_are_refused(jobs_file, tmp_path, cpu):
    with pytest.raises(BadInputError, match="another job"):
        plan_batch(
            read_batch(jobs_file(2, output_path=str(tmp_path / "same.mp4")), {}), tmp_path, cpu
        )


@pytest.mark.slow
def test_killed_at_the_fifth_of_twelve_jobs_and_resumed_all_are_finished(jobs_file, tmp_path):
    path, folder = jobs_file(12, score=False, delivery="lanczos"), tmp_path / "out"
    command = [
        sys.executable, "-m", "src.batch_processor", "--jobs-file", str(path), "--output-dir",
        str(folder), "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    for _ in range(6000):
        if len(list(folder.glob("clip-*.mp4"))) >= 4:  # the fifth has begun
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.glob("clip-*.mp4")}
    assert 4 <= len(kept) < 12
    done = subprocess.run(
        [*command, "--resume", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["completed"], report["skipped"], report["failed"]) == (
        12 - len(kept),
        len(kept),
        0,
    )
    # no partial file is left either
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".mp4", ".json"))
    assert names == sorted(
        [f"clip-{n}.{kind}" for n in range(12) for kind in ("mp4", "json")] + ["report.json"]
    )
    for name, (modified, data) in kept.items():
        assert ((folder / name).stat().st_mtime_ns, (folder / name).read_bytes()) == (
            modified,
            data,
        )
    plans = [
        item.plans for item in plan_batch(read_batch(path, {"device": "cpu"}), folder, probe("cpu"))
    ]
    clips = [folder / f"clip-{n}.mp4" for n in range(12)]
    assert all(any(finished_result(clip, choices) for choices in plans) for clip in clips)
    assert finished_result(folder / "clip-0.mp4", ()) is None


def test_no_clip_takes_the_name_of_the_batch_report_or_of_another_manifest(
    jobs_file, tmp_path, cpu
):
    path = jobs_file(2)
    data = json.loads(path.read_text("utf-8"))
    data["jobs"][0]["id"] = "report"
    data["jobs"].append(
        data["jobs"][1] | {"id": "upper", "output_path": str(tmp_path / "out" / "clip-1.MP4")}
    )
    path.write_text(json.dumps(data))
    with pytest.raises(
        BadInputError, match="2 job.s. cannot run(?s:.*)report.json(?s:.*)that of another job"
    ):
        plan_batch(read_batch(path, {}), tmp_path / "out", cpu)


@pytest.mark.parametrize(
    "spelling",
    ["plain", "dots", "relative", "folder link", "file link", "case",
     pytest.param("composed", marks=needs_utf8_names)],
)  # fmt: skip
def test_two_jobs_never_write_one_file(jobs_file, tmp_path, cpu, spelling, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "linked").symlink_to(folder)
    (folder / "link.mp4").symlink_to(folder / "x.mp4")
    monkeypatch.chdir(tmp_path)
    first = folder / ("caf\u00e9.mp4" if spelling == "composed" else "x.mp4")
    second = {
        "plain": first, "dots": folder / ".." / "out" / "x.mp4", "relative": "out/x.mp4",
        "folder link": tmp_path / "linked" / "x.mp4", "file link": folder / "link.mp4",
        "case": folder / "X.mp4", "composed": folder / "cafe\u0301.mp4",
    }[spelling]  # fmt: skip
    path = jobs_file(2)
    data = json.loads(path.read_text("utf-8"))
    for job, output in zip(data["jobs"], (first, second), strict=True):
        job["output_path"] = str(output)
    path.write_text(json.dumps(data))
    with pytest.raises(
        BadInputError, match="1 job.s. cannot run(?s:.*)that of another job .job clip-0."
    ):
        plan_batch(read_batch(path, {}), folder, cpu)


def test_a_bad_adapter_is_said_when_a_batch_is_checked(jobs_file, tmp_path, cpu):
    from safetensors.torch import save_file

    save_file(
        {"transformer.transformer_blocks.0.attn1.to_q.lora_A.weight": torch.ones(2, 32)},
        tmp_path / "a.safetensors",
    )
    with pytest.raises(BadInputError, match="2 job.s. cannot run(?s:.*)has no lora_B"):
        plan_batch(
            read_batch(jobs_file(2, lora=str(tmp_path / "a.safetensors")), {}),
            tmp_path / "out",
            cpu,
        )
