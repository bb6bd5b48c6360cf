"""Another upscaler than our own, for clips: a spec, a file and a line,
and every door reaches it.
"""

import json

import pytest

from src.core.errors import BadInputError
from src.engine.batching.jobs_file import read_batch
from src.engine.batching.run import plan_batch, run_batch
from src.engine.generate import generate, plans_for, prepare
from src.engine.replay import differences, prepare_replay
from tests.contracts.fake_upscaler import register


@pytest.fixture(autouse=True)
def _registered(tmp_path, monkeypatch):
    return register(monkeypatch, tmp_path)


@pytest.fixture
def make(request_for, cpu):
    def run(**fields):
        prepared = prepare(request_for(**fields))
        return generate(prepared, plans_for(prepared, cpu), cpu)

    return run


def test_a_clip_is_delivered_and_enlarged_by_it_and_replayed(make, cpu, tiny_folder):
    result = make(width=128, delivery="nearest/plain", upscale="3x:nearest/plain")
    assert (result.plan.upscaler, result.plan.upscale.preset) == ("nearest/plain", "nearest/plain")
    assert list(result.plan.upscaler_weights) == ["nearest/weights.nearest"]
    replay = prepare_replay(result.manifest, model=str(tiny_folder))
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert differences(replay.manifest, again, cpu) == ""


def test_its_noise_is_of_the_seed_of_the_clip(make):
    one, two = (make(width=64, upscale="2x:nearest/noisy").frame_sha256 for _ in range(2))
    assert one == two != make(width=64, upscale="2x:nearest/plain").frame_sha256


def test_jobs_files_name_it(request_for, cpu, tmp_path):
    fields = request_for(width=64, upscale="2x:nearest").model_dump(
        mode="json", exclude_defaults=True
    )
    (tmp_path / "jobs.json").write_text(json.dumps([{"id": "one"} | fields]))
    jobs = plan_batch(read_batch(tmp_path / "jobs.json", {}), tmp_path / "out", cpu)
    outcome = run_batch(jobs, cpu, False, lambda _: None)[0]
    assert outcome.state == "completed" and outcome.result.plan.upscale.preset == "nearest/plain"


@pytest.mark.parametrize(("fields", "words"), [
    ({"upscale": "8x:nearest/plain"}, "preset plain of nearest makes 2x or 3x"),
    ({"upscale": "2x:nearest/fast"}, r"'nearest/fast'; it must be one of: fast, .*nearest/plain"),
    ({"upscale": "2x:star"}, "the preset of --upscale is 'star'"),
    ({"delivery": "nearest/best"}, "--delivery is 'nearest/best'"),
])  # fmt: skip
def test_what_it_cannot_do_is_refused_when_it_is_submitted(request_for, fields, words):
    with pytest.raises(BadInputError, match=words):
        prepare(request_for(**fields))


def test_another_file_is_refused_before_the_model_runs(_registered, request_for, cpu):
    prepared = prepare(request_for(width=64, upscale="2x:nearest/plain"))
    (_registered / "weights.nearest").write_bytes(b"other")
    with pytest.raises(
        BadInputError, match="is not the file that configs/upscalers/nearest.yaml names"
    ):
        plans_for(prepared, cpu)
