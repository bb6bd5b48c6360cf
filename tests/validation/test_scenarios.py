"""A file of scenarios goes through the checks that flags go through, before anything is made."""

import pytest

from src.core.errors import BadInputError, MissingFileError
from src.validation.scenarios import load_scenarios

GOOD = {"name": "a", "photograph": "data/samples/sample_image_1.png", "prompt": "push in"}


def written(tmp_path, head="", **scenario):
    lines = [f"    {key}: {value}" for key, value in (GOOD | scenario).items()]
    text = f"model: nano\n{head}scenarios:\n  -\n" + "\n".join(lines) + "\n"
    path = tmp_path / "scenarios.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"seed": 2**64}, "seed"), ({"prompt": "' '"}, "prompt: must not be empty"),
        ({"name": "../x"}, "name"),
    ],
)  # fmt: skip
def test_a_wrong_scenario_names_file_and_field(tmp_path, scenario, sentence):
    with pytest.raises(BadInputError, match=f"scenarios.yaml.*{sentence}") as told:
        load_scenarios(written(tmp_path, **scenario))
    assert "at least 1 item" not in str(told.value)


@pytest.mark.parametrize(
    "head",
    ["num_inference_steps: 0\n", "num_inference_steps: 1001\n", "guidance_scale: -1\n",
     "guidance_scale: .nan\n", "guidance_scale: .inf\n"]
)  # fmt: skip
def test_a_wrong_setting_of_all_scenarios_is_refused(tmp_path, head):
    with pytest.raises(BadInputError, match=head.split(":")[0]):
        load_scenarios(written(tmp_path, head))


def test_a_photograph_that_is_not_there_is_said_before_the_first_clip(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.png"):
        load_scenarios(written(tmp_path, photograph="none.png"))
    assert load_scenarios(written(tmp_path)).scenarios[0].seed == 0
