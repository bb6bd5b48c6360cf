"""python -m src.prepare_refiner on tiny seeded text encoders of SDXL's classes."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from src.cli.prepare_refiner import prepare_refiner_app
from src.upscaling.sdxl.parts import EMBEDDINGS, PROMPT, load_sdxl_parts
from tests.command_kit import run_here
from tests.diffusion_kit import build_sdxl
from tests.small_disk import small_disk
from tests.upscaling.star.kit import narrow_text

WIDE = 16
"""Of the first encoder; the second is three times as wide, both together as the UNet reads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny SDXL with both text encoders; the second pads with "!", as published."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    made = build_sdxl(tmp_path_factory.mktemp("sdxl") / "sdxl")
    narrow_text(made / "text_encoder", made / "tokenizer")
    tell(made / "tokenizer", pad_token="<|endoftext|>")
    shutil.copytree(made / "tokenizer", made / "tokenizer_2")
    tell(made / "tokenizer_2", pad_token="!")
    first = CLIPTextConfig.from_pretrained(made / "text_encoder")
    torch.manual_seed(5)
    config = CLIPTextConfig(**first.to_dict() | {
        "hidden_size": 3 * WIDE, "num_hidden_layers": 2, "projection_dim": 32, "eos_token_id": 2
    })  # fmt: skip
    CLIPTextModelWithProjection(config).save_pretrained(made / "text_encoder_2")
    shutil.rmtree(made / "prompt")
    return made


def tell(tokenizer, **fields):
    usual = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(usual | fields))


def prepared(folder):
    return run_here(prepare_refiner_app(), "--folder", folder)


@torch.no_grad()
def by_the_pipeline(folder):
    """(1, 77, D) and (1, P) as StableDiffusionXLPipeline encodes the prompt."""
    import diffusers
    import transformers

    def part(kind, name, **options):
        return kind.from_pretrained(folder / name, **options)

    pipe = diffusers.StableDiffusionXLPipeline(
        part(diffusers.AutoencoderKL, "vae"),
        part(transformers.CLIPTextModel, "text_encoder"),
        part(transformers.CLIPTextModelWithProjection, "text_encoder_2"),
        part(transformers.CLIPTokenizer, "tokenizer"),
        part(transformers.CLIPTokenizer, "tokenizer_2"),
        part(diffusers.UNet2DConditionModel, "unet", variant="fp16"),
        part(diffusers.EulerDiscreteScheduler, "scheduler"),
    )
    prompt, _, pooled, _ = pipe.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    return prompt, pooled


def test_it_encodes_as_the_stock_pipeline_does(folder):
    done = prepared(folder)
    assert (done.returncode, done.stdout.strip()) == (0, str(folder / EMBEDDINGS)), done.stderr
    made, (prompt, pooled) = load_file(folder / EMBEDDINGS), by_the_pipeline(folder)
    assert made["prompt_embeds"].shape == (1, 77, 4 * WIDE) and made["pooled"].shape == (1, 32)
    assert (made["prompt_embeds"] - prompt).abs().max() <= 1e-6
    assert (made["pooled"] - pooled).abs().max() <= 1e-6
    with safe_open(folder / EMBEDDINGS, "pt") as file:
        assert file.metadata()["prompt"] == PROMPT
    assert torch.equal(load_sdxl_parts(folder, torch.float32).prompt, made["prompt_embeds"])


def test_a_missing_folder_is_one_sentence(tmp_path):
    done = prepared(tmp_path / "none")
    assert (done.returncode, "there is no folder" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("lacking", ["tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2"])
def test_a_missing_part_is_one_sentence(folder, tmp_path, lacking):
    other = shutil.copytree(folder, tmp_path / "sdxl")
    shutil.rmtree(other / lacking)
    done = prepared(other)
    assert (done.returncode, f"{other / lacking} does not load" in done.stderr) == (2, True)


def test_weights_that_are_missing_are_not_made_up(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "sdxl")
    file = other / "text_encoder_2" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop("text_projection.weight")
    save_file(tensors, file, metadata={"format": "pt"})
    done = prepared(other)
    assert (done.returncode, "has no weights for 1 tensor" in done.stderr) == (2, True), done.stderr


def test_a_full_disk_is_one_sentence(folder, tmp_path):
    with small_disk(tmp_path, 8) as disk:
        for name in ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"):
            (disk / name).symlink_to(folder / name)
        done = prepared(disk)
        assert (done.returncode, "the disk is full" in done.stderr) == (6, True), done.stderr
        assert [path for path in disk.rglob("*.safetensors") if not path.parent.is_symlink()] == []
