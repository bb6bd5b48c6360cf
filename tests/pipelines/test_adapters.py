"""Adapters from every trainer act alike, other files are refused, and taking them off leaves no
trace.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.adapter_files import BASE_KEY, read_adapter
from src.pipelines.locate import base_hash
from tests.pipelines.adapter_kit import (
    ALPHA,
    FORMS,
    MODULES,
    RANK,
    old_processor_keys,
    sat_keys,
    spelled,
    weights,
    write_diffusers,
    write_kohya,
    write_peft,
)


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


def test_taking_them_off_thaws_what_they_froze(run, session, tmp_path):
    """Torch multiplies by a frozen weight in another order."""
    run()
    weights_of = session.load().transformer.named_parameters
    before = {name: weight.requires_grad for name, weight in weights_of()}
    run(write_diffusers(tmp_path / "a"))
    run()
    assert {name: weight.requires_grad for name, weight in weights_of()} == before


@pytest.mark.parametrize("on_before", [False, True])
def test_where_the_second_does_not_load_the_first_is_not_on_either(
    run, session, tmp_path, monkeypatch, on_before
):
    first, second = (write_diffusers(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2)))
    base, pipe = run(), session.load()
    alone = run(first)
    run(*[second] if on_before else [])
    load = pipe.load_lora_into_transformer

    def fails(state, transformer, adapter_name):
        if adapter_name == "adapter-1":
            raise MemoryError
        load(state, transformer, adapter_name=adapter_name)

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(pipe, "load_lora_into_transformer", fails, raising=False)
        run(first, second)
    assert np.array_equal(run(), base)
    assert np.array_equal(run(first), alone)


def test_a_swap_that_breaks_off_leaves_none_on(run, session, tmp_path, monkeypatch):
    first, second = (write_diffusers(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2)))
    base, alone = run(), run(first)
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(session.load(), "set_adapters", _breaks, raising=False)
        run(second)
    assert np.array_equal(run(first), alone)
    assert np.array_equal(run(), base)


def _breaks(*_):
    raise MemoryError


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
