"""No part of a pipeline runs on weights that its files do not hold: none is made up."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from src.core.errors import BadInputError
from src.pipelines.families import family_of_folder, parts_in
from src.pipelines.loading import read_pipeline
from src.pipelines.reading import load_strictly, read_part
from tests import other_families as families
from tests.diffusion_kit import build_dove, build_sdxl
from tests.hunyuan_family import build_hunyuan
from tests.ltx2_family import build_ltx2

BUILDERS = {
    "wan": families.build_wan_2_1, "experts": families.build_wan_a14b,
    "ltx": families.build_ltx, "svd": families.build_svd,
    "hunyuan": build_hunyuan, "ltx2": build_ltx2,
}  # fmt: skip
PARTS = [
    ("cogvideox", "text_encoder"), ("cogvideox", "transformer"), ("cogvideox", "vae"),
    ("wan", "text_encoder"), ("wan", "image_encoder"), ("wan", "transformer"), ("wan", "vae"),
    ("experts", "transformer_2"), ("ltx", "text_encoder"), ("ltx", "transformer"), ("ltx", "vae"),
    ("svd", "image_encoder"), ("svd", "unet"), ("svd", "vae"),
    ("hunyuan", "text_encoder"), ("hunyuan", "text_encoder_2"), ("hunyuan", "transformer"),
    ("hunyuan", "vae"),
    ("ltx2", "connectors"), ("ltx2", "transformer"), ("ltx2", "vae"), ("ltx2", "audio_vae"),
    ("ltx2", "vocoder"), ("ltx2", "text_encoder"),
]  # fmt: skip
RENAMED = (
    ("language_model.lm_head.", "lm_head."), ("language_model.model.", "model.language_model."),
)  # fmt: skip
"""Beginnings of names that transformers writes otherwise than it has them."""
TABLE = "language_model.model.embed_tokens.weight"
"""What Gemma's last layer is tied to."""
TIED = ("shared.weight", "encoder.embed_tokens.weight")


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny_folder):
    folder = tmp_path_factory.mktemp("whole")
    return {"cogvideox": tiny_folder} | {
        name: build(folder / name) for name, build in BUILDERS.items()
    }


def copied(folder, target):
    return shutil.copytree(folder, target)


def change(part, *changes):
    """Rewrite the part's one file, its tensors changed by each of these."""
    (file,) = part.glob("*.safetensors")
    tensors = load_file(file)
    for each in changes:
        each(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def without(*names):
    def drop(tensors):
        for name in names:
            del tensors[name]

    return drop


def names_in(part):
    (file,) = part.glob("*.safetensors")
    return sorted(name for name in load_file(file) if name not in (*TIED, TABLE))


def loaded_as(name):
    """The name of a tensor in the model, of its name in the file."""
    for written, had in RENAMED:
        if name.startswith(written):
            return had + name.removeprefix(written)
    return name


def test_every_part_of_every_family_is_asked_for(built):
    asked = {name: {part for other, part in PARTS if other == name} for name in built}
    for name, folder in built.items():
        there = {part.name for part in parts_in(family_of_folder(folder), folder)}
        assert asked[name] <= there and (there == asked[name] or name == "experts")


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_part_without_some_tensors_is_refused_by_name(built, tmp_path, name, part):
    folder = copied(built[name], tmp_path / "copy")
    first, last = (names_in(folder / part)[place] for place in (0, -1))
    change(folder / part, without(last, first))
    with pytest.raises(BadInputError) as refused:
        read_pipeline(folder, torch.float32)
    told = str(refused.value)
    assert f"{folder / part} has no weights for 2 tensors, the first {loaded_as(first)};" in told


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_part_with_a_tensor_of_another_shape_is_refused_by_name(built, tmp_path, name, part):
    folder = copied(built[name], tmp_path / "copy")
    first = names_in(folder / part)[0]

    def larger(tensors):
        tensors[first] = torch.cat([tensors[first].reshape(-1)] * 2)

    change(folder / part, larger)
    with pytest.raises(BadInputError) as refused:
        read_pipeline(folder, torch.float32)
    told = str(refused.value)
    assert f"{folder / part} holds 1 tensors of other shapes" in told
    assert f"the first {loaded_as(first)}," in told


@pytest.mark.parametrize("kept", TIED)
@pytest.mark.parametrize("name", ["cogvideox", "wan", "ltx"])
def test_tied_weights_may_be_there_once_under_either_name(built, tmp_path, name, kept):
    folder = copied(built[name], tmp_path / "copy")

    def one_name(tensors):
        there = next(tensors.pop(each) for each in TIED if each in tensors)
        for each in TIED:
            tensors.pop(each, None)
        tensors[kept] = there

    before = words(built[name])
    change(folder / "text_encoder", one_name)
    assert torch.equal(words(folder), before)
    change(folder / "text_encoder", without(kept))
    with pytest.raises(BadInputError, match="has no weights for [12] tensors"):
        read_pipeline(folder, torch.float32)


def words(folder):
    return read_pipeline(folder, torch.float32).text_encoder.get_input_embeddings().weight


def test_what_a_class_leaves_out_may_be_there(built, tmp_path):
    """A T5 file of both halves, as T5 is published: the encoder's class leaves the decoder."""
    folder = copied(built["ltx"], tmp_path / "copy")
    change(folder / "text_encoder", lambda tensors: tensors.update({
        "decoder.final_layer_norm.weight": torch.ones(32)}))  # fmt: skip
    assert torch.equal(words(folder), words(built["ltx"]))


@pytest.mark.parametrize(("build", "part", "kind"), [
    (build_dove, "transformer", "CogVideoXTransformer3DModel"),
    (build_dove, "vae", "AutoencoderKLCogVideoX"), (build_sdxl, "vae", "AutoencoderKL"),
])  # fmt: skip
def test_parts_of_upscalers_are_whole_too(tmp_path, build, part, kind):
    import diffusers

    folder = build(tmp_path / "upscaler")
    first = names_in(folder / part)[0]
    whole = (folder / part).rename(tmp_path / "whole")
    for change_it, words in ((without(first), "has no weights for 1 tensors, the first"),
                             (lambda each: each.update({first: each[first].repeat(2)
                              if each[first].ndim == 1 else each[first][:1]}),
                              "holds 1 tensors of other shapes")):  # fmt: skip
        shutil.rmtree(folder / part, ignore_errors=True)
        change(copied(whole, folder / part), change_it)
        with pytest.raises(BadInputError, match=words) as refused:
            read_part(getattr(diffusers, kind), folder / part, torch.float32)
        assert first in str(refused.value)


@pytest.mark.parametrize(("changes", "words"), [
    ({"weight": None}, "has no weights for 1 tensors, the first weight"),
    ({"weight": torch.zeros(3, 3)}, r"1 tensors of other shapes .* weight, \(3, 3\) for \(2, 2\)"),
    ({"more": torch.zeros(1)}, "holds 1 tensors too much, the first more"),
    ({"bias": torch.tensor([1.0, float("nan")])}, "bias holds numbers that are not finite"),
])  # fmt: skip
def test_networks_of_our_own_are_filled_strictly(tmp_path, changes, words):
    network = torch.nn.Linear(2, 2)
    tensors = {**network.state_dict(), **changes}
    with pytest.raises(BadInputError, match=words):
        load_strictly(network, {k: v for k, v in tensors.items() if v is not None}, tmp_path / "f")
