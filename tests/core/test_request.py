import pytest

from src.core.config import validate
from src.core.errors import BadInputError
from src.core.parsing import parse_assignments
from src.core.request import Request, build_request

MINIMAL = {"input_image": "a.png", "prompt": "x"}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("prompt", "  ", "must not be empty"),
        ("num_inference_steps", 0, "greater than or equal to 1"),
        ("num_inference_steps", -1, "greater than or equal to 1"),
        ("height", 481, "nearest: 480 and 482"),
        ("seed", -3, "greater than or equal to 0"),
        ("seed", 2**63, "less than or equal to"),
        ("fps", 0, "greater than or equal to 1"),
        ("guidance_scale", "nan", "guidance_scale"),
        ("fit", "stretch", "'cover' or 'pad'"),
        ("sede", 1, "unknown key 'sede'"),
    ],
)
def test_a_wrong_value_is_named(field, value, sentence):
    with pytest.raises(BadInputError, match=sentence):
        build_request(MINIMAL | {field: value})


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path, monkeypatch):
    config = tmp_path / "clip.yaml"
    config.write_text("seed: 1\nfps: 12\nguidance_scale: 2\n")
    monkeypatch.setenv("NEWSREEL_FPS", "16")
    monkeypatch.setenv("NEWSREEL_GUIDANCE_SCALE", "4")
    request = build_request(MINIMAL | {"guidance_scale": 5.0}, config)
    assert (request.seed, request.fps, request.guidance_scale) == (1, 16.0, 5.0)


def test_an_error_in_a_file_names_the_file(tmp_path):
    config = tmp_path / "clip.yaml"
    config.write_text("sede: 1\n")
    with pytest.raises(BadInputError, match=r"clip\.yaml.*unknown key 'sede'"):
        build_request(MINIMAL, config)


def test_assignments():
    assert parse_assignments(["city=Lyon", "event=a=b"]) == {"city": "Lyon", "event": "a=b"}
    with pytest.raises(BadInputError, match="SLOT=VALUE"):
        parse_assignments(["city"])


@pytest.mark.parametrize("field", ["prompt", "negative_prompt", "output_path"])
def test_text_that_is_no_utf8_is_refused(field):
    with pytest.raises(BadInputError, match=f"{field}: must be UTF-8"):
        build_request({"input_image": "a.png", field: "caf\udce9"})


@pytest.mark.parametrize("field", ["input_image", "output_path", "model"])
@pytest.mark.parametrize(("name", "why"), [("", "must not be empty"), ("a\0b.mp4", "a null byte")])
def test_what_is_no_name_of_a_file_is_refused(field, name, why):
    with pytest.raises(BadInputError, match=f"{field}: .*{why}"):
        validate({"input_image": "a.png", field: name}, Request, "job")


def test_a_rate_too_low_for_a_file_is_refused():
    with pytest.raises(BadInputError, match="fps"):
        build_request({"input_image": "a.png", "fps": 1e-300})


@pytest.mark.parametrize(
    ("asked", "cache", "enlarging", "budget"),
    [
        ({}, "none", None, None),
        ({"cache": "first_block", "upscale": "4x"}, "first_block", (4, None), None),
        ({"cache": "pyramid=3", "upscale": "2x:star/fast", "vram_budget": "1.5GiB"},
         "pyramid", (2, "star/fast"), 3 << 29),
    ],
)  # fmt: skip
def test_texts_are_given_parsed(asked, cache, enlarging, budget):
    request = build_request(MINIMAL | asked)
    assert (request.cache_name, request.enlarging, request.budget) == (cache, enlarging, budget)
