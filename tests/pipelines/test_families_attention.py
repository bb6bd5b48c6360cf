"""What a folder's files leave out of the attention's size is as diffusers has it."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import diffusers
import pytest

from src.core.plan import Size
from src.pipelines.families import FAMILIES

FILES = {"vae": {"block_out_channels": [1, 1, 1, 1]}, "transformer": {}}
PLAN = SimpleNamespace(
    num_frames=9, native=Size(width=64, height=64), max_sequence_length=226,
    session=SimpleNamespace(device="cpu", gpus=1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "transformer"),
    [
        ("cogvideox", "CogVideoXTransformer3DModel"),
        ("ltx", "LTXVideoTransformer3DModel"),
        ("wan-ti2v", "WanTransformer3DModel"),
    ],
)
def test_heads_are_those_of_diffusers(name, transformer):
    usual = inspect.signature(getattr(diffusers, transformer)).parameters
    shape = FAMILIES[name].attention(Path("models/x"), lambda path: FILES[path.parent.name], PLAN)
    assert shape.heads == usual["num_attention_heads"].default
    assert shape.head_dim == usual["attention_head_dim"].default
