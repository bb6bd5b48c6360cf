"""LoRA keys by the names of Wan's own code."""

import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError
from src.pipelines.adapter_files import read_adapter
from src.pipelines.wan_ti2v.adapter_names import lora_place
from tests import other_families as tiny


@pytest.mark.parametrize(
    ("key", "module", "side"),
    [
        ("blocks.3.self_attn.q.lora_A.weight", "blocks.3.attn1.to_q", "A"),
        ("blocks.3.cross_attn.o.lora_B.default.weight", "blocks.3.attn2.to_out.0", "B"),
        ("blocks.12.ffn.0.lora_down.weight", "blocks.12.ffn.net.0.proj", "A"),
        ("lora_unet_blocks_12_ffn_2.lora_up.weight", "blocks.12.ffn.net.2", "B"),
        ("lora_unet_blocks_0_self_attn_v.alpha", "blocks.0.attn1.to_v", "alpha"),
    ],
)
def test_a_key_of_wans_own_names_is_for_a_module_of_diffusers(key, module, side):
    place = lora_place(key)
    assert (place.module, place.side) == (module, side)


@pytest.mark.parametrize("key", ["blocks.3.attn1.to_q.lora_A.weight", "blocks.3.norm.lora_A"])
def test_other_keys_are_left_to_the_usual_forms(key):
    assert lora_place(key) is None


def test_a_file_of_such_keys_is_read_and_one_for_another_base_refused(tmp_path):
    base = tiny.build_wan_ti2v(tmp_path / "base")
    names = ("self_attn.q", "self_attn.o")
    state = {}
    for name in names:
        state[f"diffusion_model.blocks.1.{name}.lora_A.weight"] = torch.ones(2, 24)
        state[f"diffusion_model.blocks.1.{name}.lora_B.weight"] = torch.ones(24, 2)
    save_file(state, tmp_path / "a.safetensors")
    found = read_adapter(str(tmp_path / "a.safetensors"), base)
    assert sorted(found.pairs) == ["blocks.1.attn1.to_out.0", "blocks.1.attn1.to_q"]
    other = {key.replace("blocks.1.", "blocks.7."): value for key, value in state.items()}
    save_file(other, tmp_path / "b.safetensors")
    with pytest.raises(BadInputError, match="no module 'blocks.7.attn1.to_"):
        read_adapter(str(tmp_path / "b.safetensors"), base)
