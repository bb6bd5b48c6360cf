"""Adapters from every trainer act alike, other files are refused, and taking them off leaves no
trace.
"""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from src.core.errors import BadInputError, MissingFileError
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.adapter_files import BASE_KEY, read_adapter, split_weight
from src.pipelines.locate import base_hash

RANK, ALPHA = 4, 8.0
MODULES = [
    f"transformer_blocks.{block}.attn1.{name}"
    for block in (0, 1)
    for name in ("to_q", "to_k", "to_v", "to_out.0")
]


def weights(seed=0, rank=RANK, width=32):
    generator = torch.Generator().manual_seed(seed)
    return {
        (module, side): torch.randn((rank, width) if side == "A" else (width, rank),
                                    generator=generator)
        for module in MODULES for side in "AB"
    }  # fmt: skip


def write_diffusers(folder, seed=0, extra=None):
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"transformer.{m}.lora_{s}.weight": w for (m, s), w in weights(seed).items()}
    config = {
        "transformer.r": RANK,
        "transformer.lora_alpha": ALPHA,
        "transformer.target_modules": ["to_q", "to_k", "to_v", "to_out.0"],
    }
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(config)} | (extra or {})
    save_file(state, folder / "pytorch_lora_weights.safetensors", metadata=metadata)
    return folder


def write_peft(folder, seed=0):
    folder.mkdir(parents=True)
    state = {f"base_model.model.{m}.lora_{s}.weight": w for (m, s), w in weights(seed).items()}
    save_file(state, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    return folder


def write_kohya(folder, seed=0):
    folder.mkdir(parents=True)
    sides = {"A": "lora_down", "B": "lora_up"}
    state = {
        f"lora_unet_{m.replace('.', '_')}.{sides[s]}.weight": w
        for (m, s), w in weights(seed).items()
    }
    state |= {f"lora_unet_{m.replace('.', '_')}.alpha": torch.tensor(ALPHA) for m in MODULES}
    save_file(state, folder / "style.safetensors")
    return folder / "style.safetensors"


@pytest.fixture(scope="module")
def session(tiny_folder, make_plan):
    return Session(make_plan().session, tiny_folder)


@pytest.fixture
def run(session, tiny_folder, make_plan, picture):
    """Frames of the shared warm session under these `--lora` arguments."""

    def frames(*arguments):
        session.adapters = tuple(read_adapter(str(argument), tiny_folder) for argument in arguments)
        plan = make_plan(steps=2, adapters=tuple(a.reference for a in session.adapters))
        return np.stack(list(session.run(plan, picture, Stopwatch(), ignore, CancelToken())))

    return frames


def close(first, second):
    return np.abs(first.astype(int) - second).max() <= 1


@pytest.mark.parametrize("write", [write_peft, write_kohya])
def test_every_form_acts_with_its_own_strength(run, tmp_path, write):
    reference = run(write_diffusers(tmp_path / "diffusers"))
    assert not np.array_equal(reference, run())
    assert close(run(write(tmp_path / "other")), reference)


def test_the_scale_is_alpha_over_rank_by_hand(run, session, tmp_path, tiny_folder):
    with_adapter = run(write_diffusers(tmp_path / "a"))
    run()
    transformer = session.load().transformer
    saved = {k: v.clone() for k, v in transformer.state_dict().items()}
    for module in MODULES:
        up, down = weights()[(module, "B")], weights()[(module, "A")]
        transformer.get_submodule(module).weight.data += ALPHA / RANK * up @ down
    merged = run()
    transformer.load_state_dict(saved)
    assert close(with_adapter, merged)


def test_weights_scale_and_adapters_add(run, tmp_path):
    first, second = write_diffusers(tmp_path / "a", 1), write_diffusers(tmp_path / "b", 2)
    alone = run(first)
    assert not np.array_equal(alone, run(f"{first}=0.5"))
    assert not np.array_equal(run(first, second), alone)


def test_taking_them_off_restores_the_base_exactly(run, tmp_path):
    base = run()
    for seed in (1, 2):
        run(write_diffusers(tmp_path / str(seed), seed))
    assert np.array_equal(run(), base)


def test_a_swap_equals_a_fresh_load(run, tmp_path, tiny_folder, make_plan, picture):
    first, second = write_peft(tmp_path / "a", 1), write_peft(tmp_path / "b", 2)
    run(first)
    swapped = run(second)
    fresh = Session(make_plan().session, tiny_folder)
    fresh.adapters = (read_adapter(str(second), tiny_folder),)
    plan = make_plan(steps=2, adapters=(fresh.adapters[0].reference,))
    assert np.array_equal(
        swapped, np.stack(list(fresh.run(plan, picture, Stopwatch(), ignore, CancelToken())))
    )


def test_the_base_hash_in_the_header_must_match(run, tmp_path, tiny_folder):
    good = write_diffusers(tmp_path / "good", extra={BASE_KEY: base_hash(tiny_folder)})
    assert read_adapter(str(good), tiny_folder)
    bad = write_diffusers(tmp_path / "bad", extra={BASE_KEY: "0" * 64})
    with pytest.raises(BadInputError, match="trained on another base"):
        read_adapter(str(bad), tiny_folder)


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


def test_an_adapter_of_another_shape_or_model_is_refused(run, tmp_path):
    base = run()
    save_file(
        {f"transformer.{MODULES[0]}.lora_{s}.weight": torch.ones(4, 4) for s in "AB"},
        tmp_path / "small.safetensors",
    )
    with pytest.raises(BadInputError, match="another base"):
        run(tmp_path / "small.safetensors")
    save_file(
        {"transformer.down_blocks.0.to_q.lora_A.weight": torch.zeros(4, 32)},
        tmp_path / "unet.safetensors",
    )
    with pytest.raises(BadInputError, match="no module 'down_blocks.0.to_q'"):
        run(tmp_path / "unet.safetensors")
    assert np.array_equal(run(), base)


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


# ---- forms that trainers write: each acts as the reference does ----


def spelled(form, alpha=None):
    """The reference's weights under the keys of a trainer."""
    down, up = form["sides"]
    state = {form["name"](m) + (down, up)[s == "B"]: w for (m, s), w in weights().items()}
    if alpha is not None:
        state |= {form["name"](m) + form["alpha"]: torch.tensor(alpha) for m in MODULES}
    return state


def sat_keys():
    state = {}
    for (module, side), weight in weights().items():
        block, name = module.split(".")[1], module.split("attn1.")[1]
        part = "dense" if name == "to_out.0" else "query_key_value"
        index = {"to_q": 0, "to_k": 1, "to_v": 2, "to_out.0": 0}[name]
        layer = f"model.diffusion_model.transformer.layers.{block}"
        key = f"{layer}.attention.{part}.matrix_{side}.{index}"
        state[key] = weight * (ALPHA if side == "B" else 1)
    return state


def old_processor_keys():
    names = {
        "to_q": "to_q_lora",
        "to_k": "to_k_lora",
        "to_v": "to_v_lora",
        "to_out.0": "to_out_lora",
    }
    state = {}
    for (module, side), weight in weights().items():
        at, name = module.split(".attn1.")
        side_name = "down" if side == "A" else "up"
        scaled = weight * (ALPHA / RANK if side == "B" else 1)
        state[f"transformer.{at}.attn1.processor.{names[name]}.{side_name}.weight"] = scaled
    return state


def flat(prefix):
    return lambda module: prefix + module.replace(".", "_")


KOHYA, DOTTED = (".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")
FORMS = {
    "kohya_two_underscores": {"name": flat("lora_unet__"), "sides": KOHYA, "alpha": ".alpha"},
    "comfy": {"name": lambda m: f"diffusion_model.{m}", "sides": DOTTED, "alpha": ".alpha"},
    "musubi": {"name": lambda m: f"diffusion_model.{m}", "sides": KOHYA, "alpha": ".lora_alpha"},
    "old_diffusers": {"name": lambda m: f"transformer.{m}",
                      "sides": (".lora.down.weight", ".lora.up.weight"), "alpha": ".lora.alpha"},
    "peft_default": {"name": lambda m: f"base_model.model.{m}",
                     "sides": (".lora_A.default.weight", ".lora_B.default.weight"),
                     "alpha": ".alpha"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_spelling_acts_with_its_alpha(run, tmp_path, form):
    save_file(spelled(FORMS[form], ALPHA), tmp_path / "a.safetensors")
    assert close(run(tmp_path / "a.safetensors"), run(write_diffusers(tmp_path / "reference")))


@pytest.mark.parametrize("state", [sat_keys, old_processor_keys])
def test_forms_without_alpha_in_the_file(run, tmp_path, state):
    save_file(state(), tmp_path / "a.safetensors")
    assert close(run(tmp_path / "a.safetensors"), run(write_diffusers(tmp_path / "reference")))


def test_alpha_in_the_header_and_by_pattern(run, tmp_path):
    plain = spelled(FORMS["comfy"])
    save_file(plain, tmp_path / "a.safetensors", metadata={"ss_network_alpha": str(ALPHA)})
    reference = run(write_diffusers(tmp_path / "reference"))
    assert close(run(tmp_path / "a.safetensors"), reference)
    folder = write_peft(tmp_path / "peft")
    config = {
        "r": RANK,
        "lora_alpha": 99,
        "alpha_pattern": {"to_q": ALPHA, "to_k": ALPHA, "to_v": ALPHA, "attn1.to_out.0": ALPHA},
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert close(run(folder), reference)
    (folder / "adapter_config.json").write_text(
        json.dumps({"lora_alpha": ALPHA, "alpha_pattern": None})
    )
    assert close(run(folder), reference)


def test_fp8_is_upcast_before_alpha(run, tmp_path):
    small = {
        key: (value / 4).to(torch.float8_e4m3fn) for key, value in spelled(FORMS["comfy"]).items()
    }
    wide = {key: value.float() for key, value in small.items()}
    alphas = {f"diffusion_model.{m}.alpha": torch.tensor(3.0) for m in MODULES}
    save_file(small | alphas, tmp_path / "fp8.safetensors")
    save_file(wide | alphas, tmp_path / "wide.safetensors")
    assert np.array_equal(run(tmp_path / "fp8.safetensors"), run(tmp_path / "wide.safetensors"))


# ---- what is refused, before anything loads, and which key tells it ----

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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    header=st.dictionaries(KEYS, ENTRIES | JSONS, max_size=4) | JSONS, body=st.binary(max_size=64)
)
def test_no_header_is_a_traceback(tmp_path, tiny_folder, header, body):
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(BadInputError, match=re.escape("a.safetensors")):
        read_adapter(str(tmp_path / "a.safetensors"), tiny_folder)
