"""Models compared: what is made, kept, refused and shown."""

import json

import pytest
import yaml

from src.catalog.models import MODELS
from src.core.errors import BadInputError, MissingWeightsError, PartialFailureError
from src.core.paths import CONFIGS
from src.core.request import Request
from src.engine.generate import prepare
from src.evaluation import compare_rows
from src.evaluation.compare import compare
from src.evaluation.compare_file import comparison_request, load_comparison, tasks_of
from tests.other_families import build_svd, build_wan_ti2v

PRESS = CONFIGS / "evaluation" / "press_prompts.yaml"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [str(build_wan_ti2v(folder / "wan")), str(build_svd(folder / "svd"))]


@pytest.fixture
def run(tmp_path, models, photograph):
    """Compare the tiny models and what else is named; returns rows by task."""
    path = tmp_path / "compare.yaml"

    def make(*further, **facts):
        usual = {
            "models": [*models, *further],
            "photographs": [str(photograph)],
            "prompts": [
                {"name": "pan", "prompt": "pan left", "move": "pan left", "seed": 1},
                {"name": "news", "template": "breaking_news", "seed": 2},
            ],
            "num_inference_steps": 2,
        }
        path.write_text(yaml.safe_dump(usual | facts))
        values = {"file": path, "out": tmp_path / "out", "models": None, "quiet": True,
                  "json": False, "accept_licence": False}  # fmt: skip
        return {row["task"]: row for row in compare(values)}

    return make


def test_every_clip_is_a_row_and_what_cannot_run_says_why(run, tmp_path):
    rows = run("wan2.2-ti2v-5b", "ltx-video", "none-such")
    made = [row for row in rows.values() if row["clip"]]
    assert len(rows) == 10 and len(made) == 4
    for row in made:
        assert (row["frames"], row["reason"]) == (9, "")
        assert (tmp_path / "out" / row["clip"]).stat().st_size == row["bytes"]
        assert min(row["seconds"], row["peak_memory"], row["first_frame"], row["motion"]) > 0
    assert (rows["wan-1-pan"]["width"], rows["wan-1-pan"]["height"]) == (48, 32)
    assert rows["wan-1-pan"]["obeyed"] is (rows["wan-1-pan"]["move"] == "pan left")
    assert rows["wan-1-news"]["obeyed"] is rows["svd-1-pan"]["obeyed"] is None
    assert "hf download Wan-AI/Wan2.2" in rows["wan2.2-ti2v-5b-1-pan"]["reason"]
    assert "--accept-licence" in rows["ltx-video-1-pan"]["reason"]
    assert "unknown model" in rows["none-such-1-pan"]["reason"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<video") == 4 and "LTXV Open Weights" in page
    assert json.loads((tmp_path / "out" / "rows.json").read_bytes()) == list(rows.values())


def test_what_is_finished_is_kept_and_another_plan_is_made(run, monkeypatch, models):
    first, made = run(models=models[:1]), []
    generate = compare_rows.generate
    monkeypatch.setattr(
        compare_rows, "generate", lambda *a, **k: made.append(a) or generate(*a, **k)
    )
    assert run(models=models[:1]) == first and made == []
    again = run(models=models[:1], num_inference_steps=3)
    assert len(made) == 2
    assert {row["plan"] for row in again.values()}.isdisjoint(row["plan"] for row in first.values())


def test_an_error_in_one_job_does_not_stop_the_others(run, monkeypatch, models):
    generate = compare_rows.generate

    def broken(prepared, plans, *rest, **more):
        if prepared.final.stem == "wan-1-pan":
            raise RuntimeError("nobody thought of this")
        return generate(prepared, plans, *rest, **more)

    monkeypatch.setattr(compare_rows, "generate", broken)
    rows = run(models=models[:1])
    assert "nobody thought of this" in rows["wan-1-pan"]["reason"] and rows["wan-1-pan"]["bug"]
    assert sum(bool(row["clip"]) for row in rows.values()) == 1


def test_a_bug_in_a_job_ends_the_command_as_a_part_that_failed(tmp_path, monkeypatch):
    from src.evaluation import compare as door

    monkeypatch.setattr(door, "compare", lambda _: [{"task": "a", "bug": True, "clip": ""}])
    monkeypatch.setattr(door, "command", lambda *_: __import__("contextlib").nullcontext())
    with pytest.raises(PartialFailureError, match="a bug ended a"):
        door._main({"out": tmp_path, "json": False, "quiet": True})


def test_the_press_set_is_whole():
    found = load_comparison(PRESS)
    tasks = tasks_of(found)
    assert len(tasks) == len(MODELS) * len(found.photographs) * len(found.prompts)
    assert len({task.name for task in tasks}) == len(tasks)
    assert len({prompt.seed for prompt in found.prompts}) == len(found.prompts)
    for task in tasks:
        request = comparison_request(task, found, PRESS.with_suffix(".mp4"))
        assert (request.template is None) == (task.model == "svd-xt")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"prompts": []}, "needs photographs and prompts"),
        ({"prompts": [{"name": "a", "prompt": "x", "move": "vortigo"}]}, "must be one of static"),
        ({"prompts": [{"name": "a"}]}, "give either prompt or template"),
        ({"prompts": [{"name": "a", "prompt": "x"}, {"name": "A", "prompt": "x"}]}, "two prompts"),
        ({"set": str(PRESS)}, "not both"),
    ],
)
def test_a_file_that_says_something_else_is_one_sentence(run, facts, sentence):
    with pytest.raises(BadInputError, match=sentence):
        run(**facts)


def test_a_licence_with_limits_is_accepted_first_and_told_with_the_command(photograph):
    wish = {"input_image": photograph, "prompt": "x", "model": "ltx-video", "mode": "baseline"}
    with pytest.raises(BadInputError, match=r"has limits: LTXV.*10 million.*--accept-licence"):
        prepare(Request(**wish))
    with pytest.raises(MissingWeightsError, match=r"hf download Lightricks/LTX-Video; licence: L"):
        prepare(Request(**wish, accept_licence=True))


def test_words_for_a_model_that_reads_none_are_refused(photograph):
    wish = {"input_image": photograph, "model": "svd-xt", "mode": "baseline",
            "accept_licence": True}  # fmt: skip
    for asked in ({"prompt": "x"}, {"template": "briefing"}, {"negative_prompt": "x"}):
        with pytest.raises(BadInputError, match="does not apply to svd-xt, which reads no words"):
            prepare(Request(**wish | asked))
    with pytest.raises(MissingWeightsError, match=r"4\.5 GB"):
        prepare(Request(**wish))
