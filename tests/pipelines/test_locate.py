import json
import shutil

import pytest

from src.catalog.models import find_model
from src.core.errors import BadInputError, MissingFileError, MissingWeightsError
from src.pipelines.locate import find, locate, weight_hashes


def test_missing_weights_name_the_command_and_the_bytes():
    with pytest.raises(MissingWeightsError, match=r"21\.6 GB.*hf download zai-org/CogVideoX-5b-I2V --revision a6f0"):
        locate(find_model("cogvideox-5b-i2v"))


def test_a_snapshot_in_the_hub_cache_is_found(tmp_path, monkeypatch):
    from huggingface_hub import constants

    spec = find_model("cogvideox-5b-i2v")
    snapshot = tmp_path / f"models--{spec.hub.replace('/', '--')}" / "snapshots" / spec.revision
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert find(spec) == snapshot


def test_pickled_weights_are_refused(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInputError, match="which can run code when loaded"):
        locate(find_model(str(folder)))


def test_hashes_are_remembered_and_notice_a_change(tiny_folder, tmp_path, home):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    first = weight_hashes(folder)
    assert set(first) >= {
        "text_encoder/model.safetensors", "transformer/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json",
        "vae/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json",
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
