import json
import shutil

import pytest

from src.core.errors import BadInputError, MissingFileError, MissingWeightsError
from src.core.request import Request
from src.pipelines.locate import find_weights, locate, weight_hashes
from src.pipelines.models import find_model


def test_missing_weights_name_the_command_and_the_bytes(cache):
    with pytest.raises(
        MissingWeightsError, match=r"21\.6 GB.*hf download zai-org/CogVideoX-5b-I2V --revision a6f0"
    ):
        locate(find_model("cogvideox-5b-i2v"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def fill(cache, tiny_folder, name):
    """The tiny model in the cache's layout: files link to blobs."""
    store, spec = cache / f"models--{name.replace('/', '--')}", find_model("cogvideox-5b-i2v")
    folder = store / "snapshots" / spec.revision
    (store / "blobs").mkdir(parents=True)
    for number, file in enumerate(
        sorted(path for path in tiny_folder.rglob("*") if path.is_file())
    ):
        link = folder / file.relative_to(tiny_folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, store / "blobs" / f"{number:064x}")
        link.symlink_to(store / "blobs" / f"{number:064x}")
    return folder


@pytest.mark.parametrize("name", ["zai-org/CogVideoX-5b-I2V", "THUDM/CogVideoX-5b-I2V"])
def test_a_snapshot_in_the_hub_cache_is_found_under_each_of_its_names(cache, tiny_folder, name):
    folder = fill(cache, tiny_folder, name)
    assert find_weights(find_model("cogvideox-5b-i2v")) == folder
    assert locate(find_model("cogvideox-5b-i2v")) == folder


@pytest.mark.parametrize(
    "lost", ["vae/diffusion_pytorch_model.safetensors", "model_index.json", "transformer"]
)
def test_an_unfinished_download_is_told_and_never_chosen(cache, tiny_folder, lost, photograph):
    from src.engine.generate import choose_model

    folder = fill(cache, tiny_folder, "THUDM/CogVideoX-5b-I2V")
    target = folder / lost
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with (folder.parents[1] / "blobs" / "abc.incomplete").open("wb") as blob:
        blob.truncate(300_000_000)
    spec = find_model("cogvideox-5b-i2v")
    with pytest.raises(
        MissingWeightsError,
        match=r"^0\.3 of 21\.6 GB .* go on with: hf download THUDM/CogVideoX-5b-I2V --rev",
    ):
        locate(spec)
    chosen, sentence = choose_model(Request(input_image=photograph))
    assert chosen.id == "nano"
    assert "0.3 of 21.6 GB" in sentence


def test_a_snapshot_whose_index_cannot_be_read_is_unfinished(cache, tiny_folder, photograph):
    folder = fill(cache, tiny_folder, "zai-org/CogVideoX-5b-I2V")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text("")
    spec = find_model("cogvideox-5b-i2v")
    assert find_weights(spec) is None
    with pytest.raises(MissingWeightsError, match="go on with: hf download"):
        locate(spec)


def test_an_empty_snapshot_is_no_model(cache):
    spec = find_model("cogvideox-5b-i2v")
    (cache / "models--zai-org--CogVideoX-5b-I2V" / "snapshots" / spec.revision).mkdir(parents=True)
    assert find_weights(spec) is None


def test_what_would_keep_a_download_from_working_is_told(cache, monkeypatch):
    from huggingface_hub import constants

    from src.pipelines import snapshots

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(snapshots.os, "access", lambda *_: False)
    with pytest.raises(
        MissingWeightsError, match="HF_HUB_OFFLINE is set, unset it.*cannot be written, set HF_HOME"
    ):
        locate(find_model("cogvideox-5b-i2v"))


def sharded(tiny_folder, tmp_path):
    """The tiny model with its transformer in three files and their index."""
    from diffusers import CogVideoXTransformer3DModel

    folder = shutil.copytree(tiny_folder, tmp_path / "sharded")
    transformer = CogVideoXTransformer3DModel.from_pretrained(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    size = sum(value.nbytes for value in transformer.state_dict().values())
    transformer.save_pretrained(folder / "transformer", max_shard_size=f"{size * 2 // 5000}KB")
    return folder, sorted((folder / "transformer").glob("*.safetensors"))


def test_shards_that_are_missing_or_cut_short_are_named(tiny_folder, tmp_path):
    folder, shards = sharded(tiny_folder, tmp_path)
    assert len(shards) >= 3
    assert locate(find_model(str(folder))) == folder
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingFileError, match=rf"transformer/{shards[1].name} is cut short"):
        locate(find_model(str(folder)))
    shards[1].write_bytes(b"<html>")
    with pytest.raises(
        MissingFileError, match=rf"transformer/{shards[1].name} is not a safetensors file"
    ):
        locate(find_model(str(folder)))
    shards[1].unlink()
    with pytest.raises(
        MissingFileError, match=rf"is not whole: transformer/{shards[1].name} is missing"
    ):
        locate(find_model(str(folder)))
    for shard in (shards[0], *shards[2:]):
        shard.unlink()
    with pytest.raises(BadInputError, match="no weights"):
        locate(find_model(str(folder)))


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": 5}', "no json"])
def test_an_index_that_is_none_is_one_sentence(tiny_folder, tmp_path, text):
    folder, _ = sharded(tiny_folder, tmp_path)
    next((folder / "transformer").glob("*.index.json")).write_text(text)
    with pytest.raises(BadInputError, match="is no index of weight files"):
        locate(find_model(str(folder)))


def test_a_class_that_no_cogvideox_folder_has_is_refused(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "other")
    index = json.loads((folder / "model_index.json").read_bytes())
    (folder / "model_index.json").write_text(
        json.dumps(index | {"transformer": ["diffusers", "WanTransformer3DModel"]})
    )
    with pytest.raises(
        BadInputError, match="WanTransformer3DModel.*has CogVideoXTransformer3DModel"
    ):
        locate(find_model(str(folder)))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cog.gguf", "a quantised transformer alone"),
        ("cog.safetensors", "adapter goes with --lora"),
    ],
)
def test_a_single_file_is_no_model(tmp_path, name, sentence):
    for path in (str(tmp_path / name), name):
        with pytest.raises(BadInputError, match=f"is a single file.*{sentence}"):
            find_model(path)


def test_pickled_weights_are_refused(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )
    with pytest.raises(BadInputError, match="which can run code when loaded"):
        locate(find_model(str(folder)))


def test_hashes_are_remembered_and_notice_a_change(tiny_folder, tmp_path, home):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    first = weight_hashes(folder)
    assert set(first) >= {
        "text_encoder/model.safetensors", "transformer/diffusion_pytorch_model.safetensors",
        "tokenizer/tokenizer.json", "vae/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    }  # fmt: skip
    assert (home / "cache" / "weight-hashes.json").is_file()
    assert weight_hashes(folder) == first
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    assert weight_hashes(folder) != first


def test_a_folder_without_a_tokenizer_is_refused(tiny_folder, tmp_path):
    folder = tmp_path / "mute"
    shutil.copytree(tiny_folder, folder)
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(MissingFileError, match="tokenizer"):
        locate(find_model(str(folder)))


def test_a_memory_of_hashes_that_is_none_is_forgotten(tiny_folder, home):
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "weight-hashes.json").write_text("[]")
    assert "vae/diffusion_pytorch_model.safetensors" in weight_hashes(tiny_folder)


@pytest.mark.parametrize("library", ["os", "./pipeline.py"])
def test_a_part_from_another_library_is_refused(tiny_folder, tmp_path, library):
    folder = tmp_path / "foreign"
    shutil.copytree(tiny_folder, folder)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"vae": [library, "system"]}))
    with pytest.raises(BadInputError, match="remote code is never run"):
        locate(find_model(str(folder)))
