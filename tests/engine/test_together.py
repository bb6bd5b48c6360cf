"""Several prompts in one forward: what the plan promises, and that no job takes another along."""

import json

import pytest

from src.core.errors import CancelledError
from src.core.progress import CancelToken
from src.engine.batching.jobs_file import read_batch
from src.engine.batching.run import plan_batch, run_batch
from src.engine.generate import generate
from src.engine.planner import most_prompts
from src.engine.replay import prepare_replay
from src.pipelines.cogvideox import loop


@pytest.fixture
def jobs(tmp_path, tiny_folder, photograph):
    prompts = ["pan left", "static", "push in", "press briefing at city hall"]
    listed = [
        {"id": f"clip-{n}", "input_image": str(photograph), "prompt": prompt}
        for n, prompt in enumerate(prompts)
    ]
    path = tmp_path / "jobs.json"
    defaults = {"model": str(tiny_folder), "num_inference_steps": 3, "score": False}
    path.write_text(json.dumps({"defaults": defaults, "jobs": listed}))
    return read_batch(path, {})


def run(jobs, folder, cpu, together=1, resume=False, cancel=None):
    return run_batch(plan_batch(jobs, folder, cpu, together), cpu, resume, lambda _: None, cancel)


def test_the_plans_of_clips_that_share_a_forward_say_so(jobs, tmp_path, cpu):
    alone = run(jobs, tmp_path / "alone", cpu)
    shared = run(jobs, tmp_path / "shared", cpu, together=3)
    assert [outcome.result.plan.prompts_per_forward for outcome in shared] == [3, 3, 3, 1]
    assert [outcome.result.plan.determinism for outcome in shared] == ["tolerance"] * 3 + ["exact"]
    assert shared[3].result.frame_sha256 == alone[3].result.frame_sha256


def test_a_replay_of_one_of_them_gives_its_frames_bit_for_bit(jobs, tmp_path, cpu, tiny_folder):
    for outcome in run(jobs, tmp_path / "out", cpu, together=4):
        replay = prepare_replay(outcome.result.manifest, str(tiny_folder), tmp_path / "again.mp4")
        again = generate(replay.prepared, (replay.manifest.plan,), cpu)
        assert again.frame_sha256 == outcome.result.frame_sha256


def test_resume_makes_only_what_is_missing_and_the_same(jobs, tmp_path, cpu):
    first = run(jobs, tmp_path / "out", cpu, together=4)
    (tmp_path / "out" / "clip-2.mp4").unlink()
    second = run(jobs, tmp_path / "out", cpu, together=4, resume=True)
    assert [outcome.state for outcome in second] == ["skipped", "skipped", "completed", "skipped"]
    assert [one.result.frame_sha256 for one in first] == [one.result.frame_sha256 for one in second]


def test_where_a_shared_forward_fails_each_job_runs_by_itself(jobs, tmp_path, cpu, monkeypatch):
    alone = run(jobs, tmp_path / "alone", cpu)
    predict = loop.predict

    def short_of_memory(pipe, clips, *rest):
        if len(clips) > 1:
            raise MemoryError("no room for so many")
        return predict(pipe, clips, *rest)

    monkeypatch.setattr(loop, "predict", short_of_memory)
    shared = run(jobs, tmp_path / "shared", cpu, together=4)
    assert [outcome.result.plan.prompts_per_forward for outcome in shared] == [1] * 4
    assert [one.result.frame_sha256 for one in shared] == [one.result.frame_sha256 for one in alone]


def test_a_job_that_cannot_begin_fails_alone(jobs, tmp_path, cpu, monkeypatch):
    begin = loop.begin

    def broken(pipe, plan, *rest):
        if plan.prompt == "static":
            raise ValueError("a bug")
        return begin(pipe, plan, *rest)

    monkeypatch.setattr(loop, "begin", broken)
    states = {outcome.id: outcome.state for outcome in run(jobs, tmp_path / "out", cpu, together=4)}
    assert states == {
        "clip-0": "completed",
        "clip-1": "failed",
        "clip-2": "completed",
        "clip-3": "completed",
    }


def test_a_shared_forward_can_be_cancelled(jobs, tmp_path, cpu):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        run(jobs, tmp_path / "out", cpu, together=4, cancel=cancel)
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_a_step_cache_and_the_stock_pipeline_share_nothing(jobs, tmp_path, cpu):
    for change in ({"cache": "first_block"}, {"mode": "baseline"}):
        changed = [
            job.model_copy(update={"request": job.request.model_copy(update=change)})
            for job in jobs
        ]
        planned = plan_batch(changed, tmp_path / "out", cpu, 4)
        assert {item.plans[0].prompts_per_forward for item in planned} == {1}


def test_memory_decides_how_many(jobs, tmp_path, cpu):
    item = plan_batch(jobs, tmp_path / "out", cpu)[0]
    memory = item.spec.memory.model_copy(update={"denoise": 100, "decode": 150})
    plan = item.plans[0].model_copy(update={"memory_estimate": 1000})
    assert [most_prompts(plan, memory, budget, 8) for budget in (500, 1050, 1149, 1150, 5000)] == [
        1,
        2,
        2,
        3,
        8,
    ]
