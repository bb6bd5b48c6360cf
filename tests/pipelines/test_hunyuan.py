"""What HunyuanVideo reads of a prompt, and which folders of it are refused."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from src.core.errors import BadInputError, MissingFileError
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.resolve import wording
from src.pipelines.families import family_of_folder
from src.pipelines.loading import read_pipeline
from src.pipelines.locate import locate, weight_hashes
from src.pipelines.models import find_model
from src.pipelines.stock_only.hunyuan import ENDING
from src.pipelines.text import beyond
from tests.hunyuan_family import build_hunyuan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_hunyuan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def pipe(folder):
    return read_pipeline(folder, torch.float32)


def changed(folder, target, file, **values):
    """A copy, one of its configurations with other values."""
    made = shutil.copytree(folder, target)
    read = json.loads((made / file).read_bytes())
    (made / file).write_text(json.dumps(read | values))
    return made


def told(pipe, prompt, limit):
    """What the transformer is told of it."""
    picture = Image.new("RGB", (48, 32), "red")
    return pipe.encode_prompt(
        picture, prompt, max_sequence_length=limit + ENDING, image_embed_interleave=4
    )


def test_a_prompt_is_read_up_to_where_the_command_says(folder, pipe):
    """A letter is a token of this tokenizer."""
    limit = find_model(str(folder)).max_sequence_length
    kept = "a" * (limit - 1)
    with torch.no_grad():
        whole, longer, other = (
            told(pipe, prompt, limit) for prompt in (kept, kept + "bb", kept[:-1] + "b")
        )
    assert torch.equal(whole[0], longer[0]) and torch.equal(whole[2], longer[2])
    assert not torch.equal(whole[0], other[0])
    assert beyond(pipe.tokenizer, kept, limit) == ""
    assert beyond(pipe.tokenizer, kept + "bb", limit) == "bb"


def test_the_photograph_is_read_with_the_prompt(pipe):
    limit = 32
    with torch.no_grad():
        red, blue = (
            pipe.encode_prompt(
                Image.new("RGB", (48, 32), colour), "pan", max_sequence_length=limit
            )[0]
            for colour in ("red", "blue")
        )
    assert red.shape == blue.shape and not torch.equal(red, blue)


@pytest.mark.parametrize("prompt", ["an <image> of it", "<|eot_id|> stop"])
def test_marks_of_the_template_are_refused_in_a_prompt(folder, prompt):
    family = family_of_folder(folder)
    plan = SimpleNamespace(prompt=prompt, guidance_scale=6.0, max_sequence_length=32)
    with pytest.raises(BadInputError, match="takes for a mark of its own; leave it out"):
        family.stock_arguments(plan)


def test_a_negative_prompt_is_refused_and_a_templates_own_left_out(folder):
    spec, templates = find_model(str(folder)), load_templates()
    name = next(each for each, template in templates.items() if template.negative_prompt)
    asked = {"input_image": "a.png", "mode": "baseline"}
    with pytest.raises(BadInputError, match="--negative-prompt does not apply to tiny"):
        wording(Request(**asked, prompt="x", negative_prompt="blurry"), templates, spec)
    assert wording(Request(**asked, template=name), templates, spec)[1] == ""


def test_a_tokenizer_that_puts_the_prompt_elsewhere_is_refused(folder, tmp_path):
    file = "tokenizer/tokenizer.json"
    added = json.loads((folder / file).read_bytes())["added_tokens"]
    without = [token for token in added if token["content"] != "system"]
    made = changed(folder, tmp_path / "other", file, added_tokens=without)
    with pytest.raises(BadInputError, match="photograph at token 10 and the prompt at 108 of"):
        read_pipeline(made, torch.float32)


@pytest.mark.parametrize(("file", "values", "sentence"), [
    ("transformer", {"image_condition_type": "latent_concat"}, "by latent_concat, and by token_re"),
    ("transformer", {"guidance_embeds": False}, "is told no guidance"),
    ("scheduler", {"use_dynamic_shifting": True}, "has use_dynamic_shifting, which is not known"),
    ("scheduler", {"use_karras_sigmas": True}, "has use_karras_sigmas, which is not known"),
])  # fmt: skip
def test_a_folder_of_another_form_is_refused_by_name(folder, tmp_path, file, values, sentence):
    name = "scheduler_config.json" if file == "scheduler" else "config.json"
    made = changed(folder, tmp_path / "other", f"{file}/{name}", **values)
    with pytest.raises(BadInputError, match=f"not a HunyuanVideo model's: .*{sentence}"):
        find_model(str(made))


def test_half_of_a_tokenizer_of_two_files_is_none(folder, tmp_path):
    made = shutil.copytree(folder, tmp_path / "half")
    assert "tokenizer_2/merges.txt" in weight_hashes(made)
    (made / "tokenizer_2" / "merges.txt").unlink()
    with pytest.raises(
        MissingFileError, match=r"no tokenizer_2/ with .* vocab.json and merges.txt"
    ):
        locate(find_model(str(made)))
