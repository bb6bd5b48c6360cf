import json
import shutil

import pytest
import torch

from src.core.errors import BadInputError
from src.pipelines.loading import read_pipeline


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


@pytest.mark.parametrize(
    "part",
    ["text_encoder/model", "transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model"],
)
def test_truncated_weights_are_one_sentence(folder, part):
    file = folder / f"{part}.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="does not load"):
        read_pipeline(folder, torch.float32)


def test_weights_that_the_configuration_asks_for_and_the_files_lack(folder):
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"num_layers": 9}))
    with pytest.raises(BadInputError, match="has no weights for"):
        read_pipeline(folder, torch.float32)
