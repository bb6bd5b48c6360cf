"""What LTX-2 is told, and which folders of it are refused."""

import json
import shutil

import pytest
import torch
from PIL import Image

from src.core.errors import BadInputError
from src.pipelines.classes import class_named, class_of
from src.pipelines.loading import read_pipeline
from src.pipelines.models import find_model
from tests.ltx2_family import build_ltx2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_ltx2(tmp_path_factory.mktemp("models") / "tiny")


def made(pipe, **asked):
    """Frames of one clip of two steps."""
    usual = {"prompt": "pan left", "guidance_scale": 4.0, "max_sequence_length": 32}
    return pipe(
        image=Image.new("RGB", (96, 64), "red"), width=96, height=64, num_frames=9,
        num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="np",
        **usual | asked,
    ).frames[0]  # fmt: skip


def test_prompt_negative_prompt_and_guidance_change_the_picture(folder):
    pipe = read_pipeline(folder, torch.float32)
    usual = made(pipe)
    assert (made(pipe) == usual).all()
    for asked in ({"prompt": "push in"}, {"negative_prompt": "blur"}, {"guidance_scale": 2.0}):
        assert (made(pipe, **asked) != usual).any(), asked


def test_clips_without_sound_are_said_to_be_so(folder):
    for name in (str(folder), "ltx-2"):
        assert "without its sound" in find_model(name).description


@pytest.mark.parametrize(("file", "values", "sentence"), [
    ("vae/config.json", {"spatial_compression_ratio": 16}, r"cells are \(8, 16\) of frames"),
    ("transformer/config.json", {"patch_size": 2}, "patches are larger than a latent cell"),
    ("scheduler/scheduler_config.json", {"stochastic_sampling": True}, "has stochastic_sampling"),
])  # fmt: skip
def test_a_folder_of_another_form_is_refused_by_name(folder, tmp_path, file, values, sentence):
    copy = shutil.copytree(folder, tmp_path / "other")
    read = json.loads((copy / file).read_bytes())
    (copy / file).write_text(json.dumps(read | values))
    with pytest.raises(BadInputError, match=f"not a LTX-2 model's: .*{sentence}"):
        find_model(str(copy))


def test_classes_are_found_by_library_and_name():
    assert class_of("ltx2", "LTX2Vocoder") is class_named("LTX2Vocoder")
    assert class_of("os", "system") is None and class_of(None, "LTX2Vocoder") is None
    with pytest.raises(LookupError, match="no library has a class Nonesuch"):
        class_named("Nonesuch")
