"""Tensors on a disk that is really full: one sentence, and nothing half written stays."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from src.core.errors import OutputError
from src.pipelines.linear_codes import LinearCodes
from src.pipelines.saving import write_tensors, writing
from src.recipes.embedded.parts import save_codes
from src.recipes.lora.encoding_cache import EncodingCache
from src.recipes.lora.files import write_adapter
from src.upscaling.weights import save_network
from tests.small_disk import small_disk
from tests.upscaling.conftest import tiny_network

LARGE = torch.zeros(1 << 20)


def network(folder):
    return save_network(tiny_network(channels=64), folder / "fast_2x.safetensors", 1)


def tensors(folder):
    return write_tensors({"a": LARGE}, folder / "a.safetensors", {}, "--output")


def adapter(folder):
    return write_adapter(folder / "adapter", {"a": LARGE}, {})


def encoding(folder):
    EncodingCache(folder).write("ab12", {"a": LARGE})


def codes(folder):
    save_codes(LinearCodes(LARGE, LARGE.clone(), LARGE.clone()), folder / "codes.safetensors")


@pytest.mark.parametrize("write", [tensors, network, adapter, encoding, codes])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(write, tmp_path):
    with small_disk(tmp_path, 64) as disk:
        with pytest.raises(OutputError, match=r"the disk is full: .* was not written; free some"):
            write(disk)
        assert [path for path in disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("write", [tensors, network, adapter, encoding, codes])
def test_what_is_no_folder_is_a_sentence(write, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file")


def test_what_was_there_stays_where_the_new_one_does_not_fit(tmp_path):
    with small_disk(tmp_path, 64) as disk:
        kept = write_adapter(disk / "adapter", {"a": torch.ones(3)}, {})
        with pytest.raises(OutputError):
            adapter(disk)
        assert load_file(kept)["a"].sum() == 3


def test_an_error_of_safetensors_that_is_none_of_the_system_is_not_hidden(tmp_path):
    with pytest.raises(SafetensorError, match="broken"), writing(tmp_path, "--output"):
        raise SafetensorError("broken")
