"""Adapters from every trainer act alike, other files are refused, and taking them off leaves no trace."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError, MissingFileError
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.adapter_files import BASE_KEY, read_adapter, split_weight
from src.pipelines.locate import base_hash

RANK, ALPHA = 4, 8.0
MODULES = [
    f"transformer_blocks.{block}.attn1.{name}" for block in (0, 1) for name in ("to_q", "to_k", "to_v", "to_out.0")
]


def weights(seed=0, rank=RANK, width=32):
    generator = torch.Generator().manual_seed(seed)
    return {
        (module, side): torch.randn((rank, width) if side == "A" else (width, rank), generator=generator)
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
    state = {f"lora_unet_{m.replace('.', '_')}.{sides[s]}.weight": w for (m, s), w in weights(seed).items()}
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
    assert np.array_equal(run(f"{first}=0"), run())
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
    assert np.array_equal(swapped, np.stack(list(fresh.run(plan, picture, Stopwatch(), ignore, CancelToken()))))


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
        ("none.safetensors", "no LoRA weights"), ("style.bin", "not a .safetensors"), ("words.safetensors", "not a safetensors file"),
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
        {f"transformer.{MODULES[0]}.lora_{s}.weight": torch.zeros(4, 4) for s in "AB"}, tmp_path / "small.safetensors"
    )
    with pytest.raises(BadInputError, match="another base"):
        run(tmp_path / "small.safetensors")
    save_file({"transformer.down_blocks.0.to_q.lora_A.weight": torch.zeros(4, 32)}, tmp_path / "unet.safetensors")
    with pytest.raises(BadInputError, match="no module 'down_blocks.0.to_q'"):
        run(tmp_path / "unet.safetensors")
    assert np.array_equal(run(), base)


def test_splitting_path_and_weight():
    assert split_weight("a/b.safetensors=0.8") == ("a/b.safetensors", 0.8)
    assert split_weight("a/b.safetensors") == ("a/b.safetensors", 1.0)
    with pytest.raises(BadInputError, match="not a weight"):
        split_weight("a=strong")
