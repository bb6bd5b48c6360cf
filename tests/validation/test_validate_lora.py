"""Validation: figures of known clips, verdicts, and the whole command on the tiny model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from src.core.config import load_config
from src.core.errors import BadInputError
from src.core.paths import CONFIGS
from src.metrics.trained_motion import certainty, likeness, motion_in, motion_of
from src.scenes.moves import PRIMITIVES, TAUGHT, named_move
from src.scenes.sampler import SceneSampler
from src.validation.compare import Summary, measure_clip, summarise, verdicts_of
from src.validation.scenarios import Scenarios, Thresholds, load_scenarios
from src.validation.validate_lora import validate_app

SAMPLER = SceneSampler(120, 80, 3, canvases=4, reuse=1)
FRAMES = 49
WANTED = motion_of(TAUGHT["vortigo"], FRAMES, 120, 80)


def shown(move, index=1):
    return likeness(motion_in(SAMPLER.scene(index, move, FRAMES).frames()), WANTED)


def test_the_trained_move_is_recognised():
    for index in range(2):
        found = shown(TAUGHT["vortigo"], index)
        assert found.shown
        assert found.strength == pytest.approx(1, abs=0.25)
    assert shown(TAUGHT["vortigo"].scaled(0.5)).shown
    assert not shown(TAUGHT["vortigo"].scaled(-1)).shown


@pytest.mark.parametrize("name", ["static", "pan left", "push in", "roll clockwise", "handheld"])
def test_no_base_move_is_taken_for_it(name):
    assert not shown(named_move(name)).shown


@pytest.mark.parametrize("name", ["pan left", "push in", "roll clockwise", "tilt up"])
@pytest.mark.parametrize("eased", [False, True])
def test_what_goes_one_way_is_far_from_it(name, eased):
    for other in ("static", "pan right", "push in", "roll counterclockwise"):
        move = named_move(name) + named_move(other)
        motion = motion_of(replace(move, eased=eased), FRAMES, 120, 80)
        assert abs(likeness(motion, WANTED).cosine) < 0.5


def test_the_motion_by_geometry_is_the_measured_one():
    move = (
        named_move("pan left", "slow")
        + named_move("push in", "slow")
        + named_move("roll clockwise", "slow")
    )
    found = motion_in(SAMPLER.scene(0, move, 17).frames())
    assert found == pytest.approx(motion_of(move, 17, 120, 80), abs=0.08)


def test_what_stands_still_in_an_empty_part_counts_little():
    """A moving patch of texture on a flat ground with faint noise that stands still, as a decoder
    leaves it.
    """
    frames = SAMPLER.scene(1, TAUGHT["vortigo"], FRAMES).frames()
    ground = np.random.default_rng(0).integers(18, 22, frames.shape[1:], np.uint8)
    frames[:, :50] = ground[:50]
    assert certainty(frames[0, ..., 0])[:40].max() < 0.1
    found = likeness(motion_in(frames), WANTED)
    assert found.cosine > 0.97
    assert found.strength > 0.85


def test_the_base_has_no_such_move():
    assert not set(TAUGHT) & set(PRIMITIVES)


def test_figures_of_a_known_clip():
    frames = SAMPLER.scene(1, TAUGHT["vortigo"], 17).frames()
    figures = measure_clip(frames, frames[0], 8, "vortigo", "a.mp4")
    assert figures.shown
    assert figures.first_frame > 60
    assert figures.temporal_score > 0.5
    assert measure_clip(frames[:5], frames[0], 8, None, "a.mp4").cosine is None
    assert summarise([figures, figures]).shows == 2


def test_verdicts():
    base = Summary(clips=10, temporal_score=0.8, first_frame=25.0, amount=1, shows=1)
    good = Summary(clips=10, temporal_score=0.7, first_frame=24.5, amount=1, shows=9)
    wanted = Thresholds(
        adapter_shows=0.9, base_shows=0.1, first_frame_loss=1, temporal_loss=0.2, held_out_ratio=1
    )
    assert all(verdict.reached for verdict in verdicts_of(wanted, base, good, (0.5, 0.4)))
    bad = good.model_copy(update={"shows": 8, "first_frame": 23.0})
    missed = {
        verdict.name
        for verdict in verdicts_of(wanted, base, bad, (0.5, 0.6))
        if not verdict.reached
    }
    assert missed == {"adapter_shows", "first_frame_loss", "held_out_ratio"}
    unknown = verdicts_of(wanted, base, good, None)[-1]
    assert (unknown.found, unknown.reached) == ("not measured", None)
    assert verdicts_of(Thresholds(), base, bad, None) == []


def test_the_shipped_scenarios():
    found = load_scenarios(CONFIGS / "training" / "validation_prompts.yaml")
    assert len(found.scenarios) == 10
    assert all("vortigo" in scenario.prompt for scenario in found.scenarios)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "s.yaml"
    one = {"name": "a", "photograph": "cat", "prompt": "b"}
    for values, sentence in (
        ({"scenarios": []}, "scenarios"), ({"scenarios": [one, one]},
                                           "two scenarios are called 'a'"),
        ({"scenarios": [one], "move": "zoom"}, "must be one of vortigo"),
        ({"scenarios": [one], "moves": 1}, "unknown key 'moves'"),
        ({"scenarios": [one], "num_frames": 1}, "num_frames"),
    ):  # fmt: skip
        path.write_text(yaml.safe_dump(values))
        with pytest.raises(BadInputError, match=sentence):
            load_scenarios(path)
    with pytest.raises(BadInputError):
        load_config(path, Scenarios)


def test_the_command_compares_and_judges(clip_set, tiny_folder, tmp_path, monkeypatch):
    from tests.training.lora_kit import run

    monkeypatch.setattr("src.metrics.temporal_pair.ANALYSIS_AREA", 90 * 60)  # clips of noise
    lora = run(clip_set, tiny_folder, tmp_path / "press", steps=2)
    scenarios = {
        "model": str(tiny_folder), "move": "vortigo", "metadata": str(clip_set), "num_frames": 9,
        "num_inference_steps": 2, "scenarios": [{"name": "one", "photograph": "cat",
                                                 "prompt": "vortigo"}],
        "thresholds": {"held_out_ratio": 5.0},
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(scenarios))
    arguments = [
        "--lora",
        str(lora),
        "--scenarios",
        str(tmp_path / "s.yaml"),
        "--output-dir",
        str(tmp_path / "v"),
        "--json",
    ]
    result = CliRunner().invoke(validate_app(), arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "v" / "report.json").read_text("utf-8"))
    assert report["passed"]
    assert report["held_out"]["base"] > 0
    assert report["clips"]["one"]["adapter"]["file"] == "one-adapter.mp4"
    html = (tmp_path / "v" / "index.html").read_text("utf-8")
    for name in ("one-base.mp4", "one-adapter.mp4"):
        assert f'src="{name}"' in html
        assert (tmp_path / "v" / name).stat().st_size > 500
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump(scenarios | {"thresholds": {"adapter_shows": 1.0, "held_out_ratio": 0.0}})
    )
    result = CliRunner().invoke(validate_app(), arguments)
    assert result.exit_code == 5
