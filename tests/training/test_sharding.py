"""Frozen weights that two processes hold half of each: the run is the one of a single process."""

import re

import pytest
import torch

from src.recipes.lora.estimates import base_held
from src.recipes.lora.settings import LoraSettings
from tests.training.lora_kit import run, weights
from tests.training.test_processes import finished, launch, losses, write_config


def test_what_a_process_holds_is_its_part_beside_what_is_gathered():
    blocks = torch.nn.ModuleList([torch.nn.Linear(10, 10, bias=False) for _ in range(8)])
    settings = LoraSettings(shard_base=True)
    assert base_held(blocks, 860, settings, processes=2) == 430 + 60 + 100
    assert base_held(blocks, 860, settings, processes=1) == 860
    assert base_held(blocks, 860, LoraSettings(), processes=2) == 860


HELD = re.compile(r"this process holds ([0-9.]+) MB of weights")


def _base_bytes(folder):
    return (folder / "transformer" / "diffusion_pytorch_model.safetensors").stat().st_size


def _adapter_bytes(output):
    return (output / "adapter_final" / "pytorch_lora_weights.safetensors").stat().st_size


@pytest.mark.slow
def test_two_processes_that_share_the_base_learn_what_one_learns(
    clip_set, tiny_folder, tmp_path, home, capfd
):
    changes = {"batch_size": 4, "epochs": 4, "shard_base": True, "held_out_timesteps": [300],
               "samples": {"count": 1, "every": 4, "num_inference_steps": 2}}  # fmt: skip
    run(clip_set, tiny_folder, tmp_path / "s1", **changes)
    assert HELD.search(capfd.readouterr().err) is None
    config = write_config(tmp_path, tiny_folder, **changes)
    told = ("--metadata", clip_set, "--config", config, "--output-dir", tmp_path / "s2")
    code, errors = finished(launch(2, *told, home=home))
    assert code == 0, errors
    for count in (1, 2):
        assert (home / "examples" / f"s{count}-epoch-04-1.mp4").is_file()
    whole = _base_bytes(tiny_folder) + _adapter_bytes(tmp_path / "s1")
    assert float(HELD.search(errors)[1]) * 1e6 < 0.6 * whole
    one, two = losses(home, "s1"), losses(home, "s2")
    assert len(one) == len(two) == 4
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-4
    first, second = (weights(tmp_path / f"s{count}" / "adapter_final") for count in (1, 2))
    assert first.keys() == second.keys()
    assert max(float((first[key] - second[key]).abs().max()) for key in first) < 1e-4
