"""Plans and a manifest that were written before families, sigmas and timesteps as floats.

`older/plans.json`: plans of every known model, mode and kind of switch, with the digests they had
then. `older/manifest.json`: of a clip that the embedded model made then.
"""

import json
from pathlib import Path

import pytest

from src.core.paths import REPOSITORY
from src.core.plan import Adapter, Distilled, Division, Draft, Plan
from src.core.request import Request
from src.engine import replay
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.replay import prepare_replay

OLDER = Path(__file__).parent / "older"
PLANS = json.loads((OLDER / "plans.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "written", PLANS, ids=[f"{n}-{one['plan']['session']['model']}" for n, one in enumerate(PLANS)]
)
def test_an_older_plan_has_the_digest_it_had(written):
    plan = Plan.model_validate(written["plan"])
    assert plan.digest() == written["digest"]
    assert (plan.session.family, plan.sigmas) == ("cogvideox", None)


@pytest.mark.parametrize("written", PLANS, ids=range(len(PLANS)))
def test_it_is_written_as_it_was_but_for_what_is_new(written):
    again = Plan.model_validate(written["plan"]).model_dump(mode="json")
    assert (again.pop("filters"), again.pop("finishers"), again.pop("sigmas")) == ([], [], None)
    assert (again.pop("extends"), again.pop("division"), again.pop("draft")) == ("", None, None)
    assert again.pop("attention_measured") is False
    assert again["cache"].pop("skipped") == []
    assert (again["session"].pop("family"), again["session"].pop("gpus")) == ("cogvideox", 1)
    assert all(adapter.pop("distilled") is None for adapter in again["adapters"])
    assert again == written["plan"]
    assert all(type(timestep) is int for timestep in again["timesteps"])


def test_what_is_new_changes_the_digest_where_it_says_something():
    plan = Plan.model_validate(PLANS[0]["plan"])
    other = plan.session.model_copy(update={"family": "wan"})
    taught = Distilled(stage="guidance", guidance_scale=6.0)
    digests = {
        plan.model_copy(update=changes).digest()
        for changes in (
            {},
            {"sigmas": (1.0, 0.5, 0.25)},
            {"extends": "0" * 64},
            {"session": other},
            {"session": plan.session.model_copy(update={"gpus": 2})},
            {"division": Division(branches=2, sequence=1, unguided=2)},
            {"attention_measured": True},
            {"draft": Draft(preview="0" * 64, frames=plan.native)},
            {"adapters": (Adapter(file="a/b", sha256="0" * 64),)},
            {"adapters": (Adapter(file="a/b", sha256="0" * 64, distilled=taught),)},
            {"timesteps": (999.0, 666.5, 332.0)},
        )
    }
    assert len(digests) == 11


def test_timesteps_between_integers_come_back_as_they_were():
    plan = Plan.model_validate(PLANS[0]["plan"]).model_copy(
        update={"timesteps": (1000.0, 909.7061, 24.41)}
    )
    text = plan.model_dump_json()
    assert '"timesteps":[1000,909.7061,24.41]' in text
    assert Plan.model_validate_json(text).digest() == plan.digest()


def test_an_older_manifest_replays_to_the_frames_of_its_request(home, tmp_path, monkeypatch, cpu):
    """Whatever the embedded model's weights are by now: they are taken for those that the manifest
    names."""
    manifest = read_manifest(OLDER / "manifest.json")
    assert manifest.plan.digest() == manifest.plan_sha256
    photograph = REPOSITORY / manifest.request["input_image"]
    (home / "photographs").mkdir(parents=True)
    (home / "photographs" / manifest.photograph).write_bytes(photograph.read_bytes())
    monkeypatch.setattr(replay, "weight_hashes", lambda _: manifest.plan.weights)
    monkeypatch.setattr(replay, "file_hashes", lambda _: manifest.plan.upscaler_weights)
    older = prepare_replay(OLDER / "manifest.json", target=tmp_path / "older.mp4")
    again = generate(older.prepared, (older.manifest.plan,), cpu)
    wish = manifest.request | {
        "input_image": photograph,
        "output_path": tmp_path / "fresh.mp4",
        "dtype": "float32",
        # what were the model's own then
        "num_inference_steps": manifest.plan.num_inference_steps,
        "guidance_scale": manifest.plan.guidance_scale,
        "delivery": manifest.plan.upscaler,
    }
    prepared = prepare(Request(**wish))
    fresh = generate(prepared, plans_for(prepared, cpu), cpu)
    assert again.frame_sha256 == fresh.frame_sha256
    assert again.plan.digest() == manifest.plan_sha256
