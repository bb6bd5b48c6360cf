"""One vocabulary: every door has the same names of it, and every door refuses the same of the
baseline.
"""

import pytest

from src.api.forms import GenerateForm
from src.api.upscale import UpscaleSettings
from src.cli.batch import OPTIONS as BATCH
from src.cli.inference import inference_app
from src.cli.upscale_video import OPTIONS as UPSCALE
from src.core.errors import BadInputError
from src.core.request import FIELDS, Request, build_request
from src.core.upscale_request import FIELDS as UPSCALE_FIELDS
from src.core.upscale_request import from_form
from src.engine.batching.jobs_file import batch_schema
from src.engine.resolve import decided
from src.evaluation.benchmark import OPTIONS as BENCHMARK
from src.evaluation.benchmark import build_requests
from src.pipelines.models import find_model

OF_A_CLIP = "input_image prompt template set negative_prompt output_path seed extend rights_reason"
OF_A_RUN = (
    "overwrite model mode num_frames height width fps num_inference_steps guidance_scale "
    "guidance_interval scheduler "
    "lora profile attention cache quantize compile offload vram_budget dtype delivery upscale fit "
    "score device "
    "gpus watermark label draft filters finishers accept_licence"
)
OF_OPERATORS = (
    "input_image output_path overwrite attention quantize compile offload vram_budget dtype "
    "delivery device "
    "extend filters finishers"
)
NOT_OF_STOCK = {
    "guidance_interval": "0,0.8", "scheduler": "ddim", "profile": "lean", "attention": "math",
    "cache": "pyramid", "quantize": "int8", "compile": True, "offload": "group",
    "gpus": 2, "draft": True,
}  # fmt: skip
MINIMAL = {"input_image": "a.png", "prompt": "x"}


def names(words: str) -> set[str]:
    return set(words.split())


def options(mode: str) -> set[str]:
    command = inference_app(mode).registered_commands[0].callback
    return set(command.__annotations__)


def test_the_public_names_are_frozen():
    assert set(FIELDS) == names(OF_A_CLIP) | names(OF_A_RUN)
    assert set(Request.model_fields) == set(FIELDS)
    assert [field.flag for field in FIELDS.values()] == [
        "--" + name.replace("_", "-") for name in FIELDS
    ]


def test_each_door_has_them():
    beside = {"config", "replay", "full", "dry_run", "sign", "json", "quiet"}
    assert options("optimized") - beside == set(FIELDS) - {"mode"}
    assert options("baseline") - beside == set(FIELDS) - {"mode"} - set(NOT_OF_STOCK) | {"offload"}
    assert set(BATCH) & set(FIELDS) == names(OF_A_RUN)
    assert set(GenerateForm.model_fields) == set(FIELDS) - names(OF_OPERATORS) | {"priority"}
    job = batch_schema()["oneOf"][1]["items"]["properties"]
    assert set(job) == set(Request.model_fields) | {"id"}
    assert set(NOT_OF_STOCK) | {"vram_budget", "lora", "dtype"} <= set(BENCHMARK)


def test_the_help_tells_what_a_command_takes():
    stock, ours, many = (
        inference_app("baseline").registered_commands[0].callback,
        inference_app("optimized").registered_commands[0].callback,
        BATCH,
    )
    said = [source.__annotations__["offload"].__metadata__[0].help for source in (stock, ours)]
    assert said[0].endswith("none, model or sequential [auto].") and "paged" in said[1]
    assert many["offload"].__metadata__[0].help.endswith("paged or sequential.")


def test_each_door_says_what_it_is():
    job = batch_schema()["oneOf"][1]["items"]["properties"]
    form = GenerateForm.model_json_schema()["properties"]
    assert job["width"]["description"] == "Delivered width" and job["width"]["unit"] == "pixels"
    assert form["width"]["description"] == "Delivered width, in pixels."
    assert FIELDS["fit"].help.endswith("cover or pad [cover].")


@pytest.mark.parametrize("field", NOT_OF_STOCK)
def test_every_door_refuses_the_same_of_the_baseline(field, tmp_path):
    config = tmp_path / "clip.yaml"
    config.write_text(f"{field}: {NOT_OF_STOCK[field]}\n")
    sentence = f"--{field.replace('_', '-')}.* does not apply to mode baseline"
    for request in (
        build_request(MINIMAL | {"mode": "baseline", field: NOT_OF_STOCK[field]}),
        build_request(MINIMAL | {"mode": "baseline"}, config),
    ):
        with pytest.raises(BadInputError, match=sentence):
            decided(request, find_model("nano"), {})
    given = dict.fromkeys(BENCHMARK) | MINIMAL | {field: NOT_OF_STOCK[field]}
    with pytest.raises(BadInputError, match=sentence):
        build_requests(given, "baseline")
    both = build_requests(dict.fromkeys(BENCHMARK) | MINIMAL | {"config": config}, "both")
    assert getattr(both["baseline"], field) == Request.model_fields[field].default
    assert getattr(both["optimized"], field) != Request.model_fields[field].default


@pytest.mark.parametrize(
    ("field", "value"), [("vram_budget", "12GB"), ("offload", "model"), ("lora", ["a"])]
)
def test_what_the_stock_pipeline_does_is_offered_for_it_everywhere(field, value):
    assert field in options("baseline")
    given = dict.fromkeys(BENCHMARK) | MINIMAL | {field: value}
    assert getattr(build_requests(given, "baseline")["baseline"], field) is not None
    decided(build_request(MINIMAL | {"mode": "baseline", field: value}), find_model("nano"), {})


def test_the_public_names_of_the_upscaler_are_frozen():
    flags = (
        "input output upscaler scale preset denoise deblock sharpen preserve_details steady "
        "guidance_scale codec crf "
        "encoder_preset interlaced start end overwrite compare device threads prompt seed filters "
        "finishers watermark label "
        "accept_licence runtime precision refine"
    )
    assert set(UPSCALE_FIELDS) == names(flags) == set(UPSCALE) - {"sign", "json", "quiet"}
    form = {
        "scale": 4,
        "quality": "fast",
        "denoiseLevel": 0.1,
        "preserveDetails": True,
        "guideScale": None,
        "refine": "sdxl:0.1",
        "prompt": "a flooded street",
        "seed": 3,
        "watermark": True,
        "label": False,
        "accept_licence": True,
    }
    wanted = UpscaleSettings(**form)
    assert set(UpscaleSettings.model_fields) == set(form)
    assert from_form(wanted.model_dump()) == {
        "scale": 4, "preset": "fast", "denoise": 0.1, "preserve_details": 1.0,
        "guidance_scale": None, "refine": "sdxl:0.1",
        "prompt": "a flooded street", "seed": 3, "watermark": True,
        "label": False, "accept_licence": True,
    }  # fmt: skip
