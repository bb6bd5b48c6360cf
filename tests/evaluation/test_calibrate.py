"""Calibrating a tiny model, and making a clip by what was found."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.evaluation import calibrate_rows
from src.evaluation.cache_recording import fit_polynomial, relative_changes
from src.evaluation.calibrate import UNCACHED, calibrate_app
from src.evaluation.calibrate_rows import THRESHOLDS, CacheRow, costly, usual_thresholds
from src.evaluation.quality_rows import Bench, BenchScene
from src.pipelines.cache_fit import FILE, CacheFit
from src.pipelines.models import find_model


def run(*options):
    calibrate_app()([*map(str, options), "--device", "cpu", "--quiet"], standalone_mode=False)


@pytest.fixture(scope="module", autouse=True)
def _few_thresholds():
    """Two of each cache, for time's sake."""
    with pytest.MonkeyPatch.context() as patch:
        few = {name: (tried[0], tried[-1]) for name, tried in THRESHOLDS.items()}
        patch.setattr(calibrate_rows, "THRESHOLDS", few)
        yield


@pytest.fixture(scope="module")
def calibrated(tiny_folder, tmp_path_factory):
    """A copy of the tiny model, with its calibration."""
    tiny_copy = tmp_path_factory.mktemp("calibrated") / "tiny"
    shutil.copytree(tiny_folder, tiny_copy)
    page = tiny_copy.parent / "page.md"
    page.write_text("a\n<!-- step caches: begin -->\n<!-- step caches: end -->\nb\n")
    run("--model", tiny_copy, "--num-frames", 9, "--clips", 1, "--num-inference-steps", 8,
        "--guidance-scale", 3, "--docs", page)  # fmt: skip
    return tiny_copy


def test_the_calibration_holds_what_the_model_did(calibrated):
    fit = CacheFit.model_validate_json((calibrated / FILE).read_text())
    assert (fit.steps, fit.num_frames, fit.guidance_scale) == (8, 9, 3.0)
    assert len(fit.magnitudes) == 8 and fit.magnitudes[0] == 1.0
    assert len(set(fit.magnitudes)) > 2 and all(0.1 < value < 10 for value in fit.magnitudes)
    assert len(fit.changes) == 8 and fit.changes[0] == 0 and all(fit.changes[1:])
    assert set(fit.usual) == {"magcache", "teacache"}


def test_the_page_gets_the_table(calibrated):
    text = (calibrated.parent / "page.md").read_text()
    assert text.startswith("a\n") and text.endswith("b\n")
    assert "| none | 0 of 8 | 1.00x | - |" in text


def test_a_clip_skips_what_the_calibration_says(calibrated, photograph, tmp_path):
    from src.core.request import Request
    from src.engine.generate import plans_for, prepare
    from src.engine.probe import probe

    def plan(**more):
        request = Request(
            input_image=photograph, prompt="pan left", model=str(calibrated), device="cpu",
            output_path=tmp_path / "clip.mp4", num_inference_steps=8, num_frames=9, **more,
        )  # fmt: skip
        return plans_for(prepare(request), probe("cpu"))[0]

    made = plan(cache="magcache=9")
    assert made.cache.skipped == (2, 3, 4, 6)
    assert plan(cache="magcache").cache.threshold > 0
    assert made.digest() != plan(cache="magcache=0.00001").digest()


def test_a_model_without_a_calibration_is_refused(tiny_folder, photograph, tmp_path):
    from src.core.request import Request
    from src.engine.generate import plans_for, prepare
    from src.engine.probe import probe

    request = Request(
        input_image=photograph, prompt="pan left", model=str(tiny_folder), device="cpu",
        output_path=tmp_path / "clip.mp4", cache="teacache", num_frames=9,
    )  # fmt: skip
    with pytest.raises(BadInputError, match="--cache teacache needs a calibration"):
        plans_for(prepare(request), probe("cpu"))


def test_relative_changes_are_l1_of_the_difference_by_the_one_before():
    found = relative_changes(np.array([[1.0, 1.0], [2.0, 0.0], [4.0, 4.0]]))
    assert found.tolist() == [0, 1, 3]


def test_the_polynomial_finds_the_one_that_made_the_points():
    changes = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    factors = fit_polynomial(changes, [3 * x**2 - x + 0.5 for x in changes])
    np.testing.assert_allclose(factors, [0, 0, 3, -1, 0.5], atol=1e-9)


def test_the_usual_threshold_is_the_fastest_that_costs_little():
    def row(cache, threshold, skipped, psnr, right=4):
        return CacheRow(cache, threshold, 28, skipped, 1.0, psnr, 50.0, 30.0, right, 4)

    rows = [row("none", 0.0, 0, None), row("magcache", 0.03, 8, 36.0),
            row("magcache", 0.06, 12, 31.0), row("magcache", 0.12, 16, 29.9),
            row("teacache", 0.05, 6, 33.0, right=3)]  # fmt: skip
    assert usual_thresholds(rows) == {"magcache": 0.06, "teacache": 0.02}
    assert costly(rows) == ["teacache"]


def test_on_a_card_the_profiles_own_cache_and_interval_stay_off(tiny_folder):
    """Profile fast, which a card takes by itself, has both: residuals of a first-block cache are
    not the model's."""
    spec = find_model(str(tiny_folder))
    card = Hardware(device="cuda", name="a card", memory=80 * 10**9, free_memory=80 * 10**9,
                    capability=(9, 0), bf16=True, compiler=True)  # fmt: skip
    bench = Bench(spec, tiny_folder, {}, card, Path())
    scene = BenchScene("a", np.zeros((16, 16, 3), np.uint8), "pan left", "pan-left", 0)
    guided = {"num_inference_steps": 8, "guidance_scale": 4.0}
    assert bench.plan(scene, guided).cache.name == "first_block"
    plan = bench.plan(scene, UNCACHED | guided)
    assert (plan.cache.name, set(plan.guidance)) == ("none", {4.0})


def test_where_it_cannot_be_written_is_told_before_anything_runs(tiny_folder, tmp_path, capsys):
    (tmp_path / "a_file").write_text("")
    for output, said in [(tmp_path, "is a folder"), (tmp_path / "a_file" / "b", "cannot be wri")]:
        with pytest.raises(SystemExit):
            run("--model", tiny_folder, "--output", output)
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--num-inference-steps", "3"), "4 or more"), (("--num-inference-steps", "0"), "4 or more"),
     (("--guidance-scale", "nan"), "guidance_scale: input should be a finite number"),
     (("--clips", "0"), "at least 1"), (("--clips", "999"), "999 clips are more than")],
)  # fmt: skip
def test_too_few_are_refused(tiny_folder, options, said, capsys):
    with pytest.raises(SystemExit):
        run("--model", tiny_folder, *options)
    assert said in capsys.readouterr().err


def test_json_says_where_it_went(tiny_folder, tmp_path, capsys):
    target = tmp_path / "fit.json"
    run("--model", tiny_folder, "--num-frames", 9, "--clips", 1, "--num-inference-steps", 4,
        "--output", target, "--json")  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert said["calibration"] == str(target) and target.is_file()
    assert said["rows"][0]["cache"] == "none"
