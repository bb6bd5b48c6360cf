"""Adapter files that are refused before anything loads, and which key tells it."""

import json
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from src.core.errors import BadInputError, MissingFileError
from src.pipelines.adapter_files import read_adapter, split_weight
from tests.pipelines.adapter_kit import (
    FORMS,
    MODULES,
    spelled,
    write_diffusers,
    write_peft,
)


def test_files_that_would_change_nothing_or_do_harm_are_refused(tmp_path, tiny_folder):
    save_file({"weight": torch.zeros(2)}, tmp_path / "none.safetensors")
    (tmp_path / "style.bin").write_bytes(b"x")
    (tmp_path / "words.safetensors").write_bytes(b"just words")
    for name, sentence in (
        ("none.safetensors", "no LoRA weights"), ("style.bin", "not a .safetensors"),
        ("words.safetensors", "not a safetensors file"),
    ):  # fmt: skip
        with pytest.raises(BadInputError, match=sentence):
            read_adapter(str(tmp_path / name), tiny_folder)
    with pytest.raises(MissingFileError, match="does not exist"):
        read_adapter("gone.safetensors", tiny_folder)
    with pytest.raises(MissingFileError, match="has none of"):
        read_adapter(str(tmp_path), tiny_folder)


def test_splitting_path_and_weight():
    assert split_weight("a/b.safetensors=0.8") == ("a/b.safetensors", 0.8)
    assert split_weight("a/b.safetensors") == ("a/b.safetensors", 1.0)
    assert split_weight("a=b/c.safetensors=2") == ("a=b/c.safetensors", 2.0)
    with pytest.raises(BadInputError, match="not a weight"):
        split_weight("a=strong")


def test_a_path_that_exists_is_no_weight(tmp_path, tiny_folder):
    file = write_diffusers(tmp_path / "a").joinpath("pytorch_lora_weights.safetensors")
    named = file.rename(tmp_path / "epoch=3-step=100.safetensors")
    folder = write_diffusers(tmp_path / "step=2")
    assert read_adapter(str(named), tiny_folder).reference.weight == 1
    assert read_adapter(f"{named}=0.5", tiny_folder).reference.weight == 0.5
    assert read_adapter(str(folder), tiny_folder).path.parent == folder


NAME = f"transformer.{MODULES[0]}"


def spoiled(change):
    state = spelled(FORMS["comfy"]) if change != "none" else {}
    first = f"diffusion_model.{MODULES[0]}"
    {
        "nan": lambda: state[f"{first}.lora_A.weight"].view(-1)[3:4].fill_(torch.nan),
        "zero B": lambda: [value.zero_() for key, value in state.items() if "lora_B" in key],
        "only A": lambda: [state.pop(key) for key in list(state) if "lora_B" in key],
        "ranks": lambda: state.update({f"{first}.lora_A.weight": torch.ones(3, 32)}),
        "twice": lambda: state.update(
            {f"transformer.{MODULES[0]}.lora_A.weight": torch.ones(4, 32)}
        ),
        "dora": lambda: state.update({f"{first}.dora_scale": torch.ones(32)}),
        "lokr": lambda: state.update({f"{first}.lokr_w1": torch.ones(2, 2)}),
        "text": lambda: state.update(
            {"lora_te1_text_model_layers_0.lora_down.weight": torch.ones(2, 2)}
        ),
        "bias": lambda: state.update({f"{first}.lora_B.bias": torch.ones(32)}),
        "integers": lambda: state.update(
            {f"{first}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)}
        ),
        "alpha 0": lambda: state.update(
            {f"diffusion_model.{m}.alpha": torch.tensor(0.0) for m in MODULES}
        ),
        "alpha nan": lambda: state.update({f"{first}.alpha": torch.tensor(torch.nan)}),
        "wan": lambda: state.update(
            {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.ones(4, 32)}
        ),
    }[change]()
    return state


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nan", r"to_q\.lora_A\.weight holds numbers that are not finite"),
        ("zero B", "would change nothing"), ("only A", r"lora_A\.weight has no lora_B"),
        ("ranks", "rank 3 .*rank 4"), ("twice", "are for one weight"),
        ("dora", "dora_scale tells DoRA"), ("lokr", "lokr_w1 tells LoKr"),
        ("text", "lora_te1.*text encoder"), ("bias", r"lora_B\.bias is not a LoRA weight"),
        ("integers", "is I8"), ("alpha 0", "would change nothing"),
        ("alpha nan", r"alpha holds numbers"), ("wan", r"blocks\.0\.self_attn\.q.*another base"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_loads(tmp_path, tiny_folder, change, sentence):
    save_file(spoiled(change), tmp_path / "a.safetensors")
    with pytest.raises(BadInputError, match=sentence):
        read_adapter(str(tmp_path / "a.safetensors"), tiny_folder)


def test_a_file_cut_or_grown_is_said_with_its_bytes(tmp_path, tiny_folder):
    file = tmp_path / "a.safetensors"
    save_file(spelled(FORMS["comfy"]), file)
    whole = file.read_bytes()
    for data, sentence in (
        (whole[:-1], "cut short"),
        (whole + b"x", "longer than"),
        (whole[:50], "not a safetensors"),
    ):
        file.write_bytes(data)
        with pytest.raises(BadInputError, match=sentence):
            read_adapter(str(file), tiny_folder)


def test_weight_zero_is_refused(tmp_path, tiny_folder):
    with pytest.raises(BadInputError, match="would change nothing"):
        read_adapter(f"{write_diffusers(tmp_path / 'a')}=0", tiny_folder)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{", "not valid JSON"), ("[1]", "is a list"), ('{"lora_alpha": "x"}', "lora_alpha is 'x'"),
        ('{"lora_alpha": 0}', "lora_alpha is 0"), ('{"use_dora": true}', "DoRA"),
        ('{"peft_type": "LOKR"}', "LOKR"), ('{"alpha_pattern": [1]}', "alpha_pattern"),
        ('{"alpha_pattern": {"to_q": null}}', "to_q is None"),
    ],
)  # fmt: skip
def test_a_config_of_another_shape_is_a_sentence(tmp_path, tiny_folder, config, sentence):
    folder = write_peft(tmp_path / "peft")
    (folder / "adapter_config.json").write_text(config)
    with pytest.raises(BadInputError, match=sentence):
        read_adapter(str(folder), tiny_folder)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                                max_size=3), max_leaves=6,
)  # fmt: skip
ENTRIES = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "I64", "X"]) | JSONS,
     "shape": st.lists(st.integers(0, 5), max_size=4) | JSONS,
     "data_offsets": st.tuples(st.integers(0, 64), st.integers(0, 64)) | JSONS},
)  # fmt: skip
KEYS = st.sampled_from(
    [
        f"{NAME}.lora_A.weight",
        f"{NAME}.lora_B.weight",
        f"{NAME}.alpha",
        f"{NAME}.dora_scale",
        "__metadata__",
    ]
) | st.text(max_size=20)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    header=st.dictionaries(KEYS, ENTRIES | JSONS, max_size=4) | JSONS, body=st.binary(max_size=64)
)
def test_no_header_is_a_traceback(tmp_path, tiny_folder, header, body):
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(BadInputError, match=re.escape("a.safetensors")):
        read_adapter(str(tmp_path / "a.safetensors"), tiny_folder)
