"""From a calibration beside a model to a clip and its replay, and what admission says of it."""

import json
import shutil

import pytest

from src.core.errors import BadInputError
from src.core.request import Request
from src.engine.admission import check_generate
from src.engine.generate import generate, plans_for, prepare
from src.engine.probe import probe
from src.engine.replay import prepare_replay
from src.pipelines.cache_fit import FILE, CacheFit, text_of
from src.pipelines.locate import base_hash


@pytest.fixture
def calibrated(tiny_folder, tmp_path):
    """A copy of the tiny model beside numbers that nobody measured: steps of 200."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder, folder)
    fit = CacheFit(
        base=base_hash(folder), scheduler="dpm", steps=5, num_frames=9, guidance_scale=1.0,
        timesteps=(999, 799, 599, 399, 199), magnitudes=(1.0, 0.9, 0.9, 0.9, 0.9),
        changes=(0.0, 0.1, 0.1, 0.1, 0.1), polynomial=(1.0, 0.0),
        usual={"magcache": 0.2, "teacache": 0.15},
    )  # fmt: skip
    (folder / FILE).write_text(text_of(fit))
    return folder


@pytest.fixture
def asked(calibrated, photograph, tmp_path):
    """A request for a clip of that model, with further fields."""

    def ask(**fields):
        return Request(**{
            "input_image": photograph, "prompt": "pan left", "model": str(calibrated),
            "device": "cpu", "output_path": tmp_path / "clip.mp4", "num_inference_steps": 5,
            "num_frames": 9, "cache": "magcache", "seed": 1, **fields,
        })  # fmt: skip

    return ask


def test_a_clip_by_a_calibration_replays(asked, calibrated, tmp_path):
    prepared, hardware = prepare(asked()), probe("cpu")
    plans = plans_for(prepared, hardware)
    # an error of 0.1 after one skipped step, 0.1 + 0.19 after two: one at a time
    assert (plans[0].cache.threshold, plans[0].cache.skipped) == (0.2, (1, 3))
    made = generate(prepared, plans, hardware)
    (calibrated / FILE).unlink()  # the plan says it all
    replay = prepare_replay(tmp_path / "clip.json", str(calibrated), tmp_path / "again.mp4")
    plan = replay.manifest.plan
    assert plan.cache == plans[0].cache
    assert generate(replay.prepared, (plan,), hardware).frame_sha256 == made.frame_sha256


def test_guidance_that_ends_is_planned_with(asked):
    plan = plans_for(
        prepare(asked(guidance_scale=4.0, guidance_interval=(0.0, 0.6))), probe("cpu")
    )[0]
    assert plan.guidance == (4.0, 4.0, 4.0, 1.0, 1.0)
    assert 3 not in plan.cache.skipped and plan.cache.skipped


@pytest.mark.parametrize("machines", [[], [probe("cpu")]])
def test_admission_says_what_a_worker_would(asked, calibrated, machines):
    assert check_generate(asked(), machines) > 0
    held = json.loads((calibrated / FILE).read_bytes())
    for said, damage in {
        "made with other weights": {"base": "other"},
        "is no calibration": {"magnitudes": [1.0]},
        "no usual threshold of magcache": {"usual": {"teacache": 1.0}},
    }.items():
        (calibrated / FILE).write_text(json.dumps(held | damage))
        with pytest.raises(BadInputError, match=said):
            check_generate(asked(), machines)
    (calibrated / FILE).unlink()
    with pytest.raises(BadInputError, match="--cache magcache needs a calibration"):
        check_generate(asked(), machines)
