"""The quick look that the way in `pytest src/test_suite.py -k smoke` takes: smoke, config, schema,
sample assets.
"""

import json

import pytest
from PIL import Image

from src.catalog.models import MODELS, load_models
from src.core.paths import REPOSITORY
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.generate import generate, plans_for, prepare
from src.engine.probe import probe
from src.evaluation.summary import summary_schema

SAMPLES = REPOSITORY / "data" / "samples"


def test_smoke_the_embedded_model_makes_a_clip(tmp_path, monkeypatch):
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path))
    request = Request(
        input_image=SAMPLES / "sample_image_1.png", prompt="pan left", model="nano", num_frames=9,
        num_inference_steps=2, seed=1, device="cpu",
    )  # fmt: skip
    hardware = probe("cpu")
    prepared = prepare(request)
    result = generate(prepared, plans_for(prepared, hardware), hardware)
    assert result.path.is_file()
    assert json.loads(result.manifest.read_text("utf-8"))["frame_sha256"] == result.frame_sha256


def test_config_files_are_valid():
    assert tuple(load_models()) == MODELS
    assert load_templates()


def test_the_summary_schema_is_the_published_one():
    published = json.loads(
        (REPOSITORY / "configs" / "schemas" / "project_summary.json").read_text("utf-8")
    )
    assert published == json.loads(json.dumps(summary_schema()))


@pytest.mark.parametrize("name", ["sample_image_1.png", "sample_image_2.png"])
def test_sample_photographs_are_there(name):
    with Image.open(SAMPLES / name) as image:
        assert image.size == (720, 480)
