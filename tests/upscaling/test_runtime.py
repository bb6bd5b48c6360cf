import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, NotFiniteError
from src.upscaling.runtime import Batch, NetworkRunner, bytes_per_pixel
from src.upscaling.weights import load_network, save_network

from .conftest import tiny_network


@pytest.fixture(scope="module")
def runner():
    return NetworkRunner(tiny_network())


def run(runner, frames, before=0, after=0):
    return np.concatenate(list(runner.run(frames, before, after, (0.0, 0.0))))


def test_a_stretch_equals_the_network_on_the_whole_clip(runner, frames):
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 255
    want = runner.network(clip, torch.zeros(1, 2))[0].permute(0, 2, 3, 1).numpy()
    assert np.abs(run(runner, frames) - want).max() < 1e-5


@pytest.mark.parametrize("group", [1, 2, 4])
def test_groups_and_context_change_nothing(runner, frames, group, monkeypatch):
    whole = run(runner, frames)
    monkeypatch.setattr(NetworkRunner, "batch", lambda *_: Batch(group, 1 << 30))
    assert np.abs(run(runner, frames[1:8], 2, 2) - whole[3:6]).max() < 1e-5
    assert np.abs(run(runner, frames) - whole).max() < 1e-5


def test_sixteen_bits_and_floats_are_the_same_picture(runner, frames):
    want = run(runner, frames)
    assert np.abs(run(runner, frames.astype(np.uint16) * 257) - want).max() < 1e-4
    assert np.abs(run(runner, frames.astype(np.float32) / 255) - want).max() < 1e-4


def test_lack_of_gpu_memory_halves_the_batch_and_loses_no_frame(runner, frames, monkeypatch):
    whole, tried = run(runner, frames), []
    monkeypatch.setattr(NetworkRunner, "batch", lambda *_: Batch(4, 1 << 30))
    decode = NetworkRunner._decode

    def short(self, clip, body, known, told):
        tried.append(len(body))
        if len(body) > 2 and body.start >= 4:
            raise torch.cuda.OutOfMemoryError("short")
        return decode(self, clip, body, known, told)

    monkeypatch.setattr(NetworkRunner, "_decode", short)
    assert np.abs(run(runner, frames) - whole).max() < 1e-5
    assert tried == [4, 4, 2, 2, 1]


MEMORY = """
import json, os
import numpy as np, torch
from src.engine.costs import peak_rss
from src.upscaling.network import build_network
from src.upscaling.presets import network_spec
from src.upscaling.runtime import NetworkRunner, bytes_per_pixel
torch.set_num_threads(1)

def taken(preset, size, tile=None):
    runner = NetworkRunner(build_network(network_spec(preset, 2)))
    list(runner.run(np.zeros((1, 32, 32, 3), np.uint8), 0, 0, (0., 0.)))
    runner.budget = bytes_per_pixel(runner.network) * tile if tile else runner.budget
    before = peak_rss()
    list(runner.run(np.zeros((*size, 3), np.uint8), 0, 0, (0., 0.)))
    return peak_rss() - before, bytes_per_pixel(runner.network) * size[1] * size[2]

runs = {preset: (preset, (2, 160, 240)) for preset in ("fast", "balanced", "quality")}
runs["whole"], runs["tiled"] = (("fast", (3, 256, 256), side * side) for side in (256, 96))
for name, given in runs.items():
    if not (process := os.fork()):
        print(json.dumps([name, *taken(*given)]), flush=True)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0, name
"""
"""Each run in a process of its own: a peak is that of all that a process has done."""


@pytest.fixture(scope="module")
def memory():
    """Bytes that each run took, and those of its estimate, by the run's name."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return {name: found for name, *found in map(json.loads, done.stdout.splitlines())}


def test_tiles_hold_less_than_the_whole_frame(memory):
    assert memory["tiled"][0] < 0.6 * memory["whole"][0], memory


@pytest.mark.parametrize("preset", ["fast", "balanced", "quality"])
def test_the_memory_of_a_forward_is_below_its_estimate(memory, preset):
    taken, estimate = memory[preset]
    assert taken < 2 * estimate, memory


def test_tiles_give_every_frame_of_a_stretch_the_same(runner, frames):
    tiled, wide = NetworkRunner(runner.network), np.tile(frames[:6], (1, 3, 2, 1))
    want = run(runner, wide, 1, 1)
    tiled.budget = bytes_per_pixel(runner.network) * 96 * 96
    assert tiled.batch(*wide.shape[1:3]).pixels < wide.shape[1] * wide.shape[2]
    assert len(want) == 4 and np.abs(run(tiled, wide, 1, 1) - want).max() < 1 / 255


def test_a_network_whose_output_is_no_number_ends_the_run(frames):
    network = tiny_network()
    next(network.parameters()).data.flatten()[0] = torch.nan
    with pytest.raises(NotFiniteError, match="not finite"):
        run(NetworkRunner(network), frames)


def test_a_file_whose_weights_are_no_numbers_is_refused(tmp_path):
    network = tiny_network()
    next(network.parameters()).data.flatten()[0] = torch.inf
    with pytest.raises(BadInputError, match="not finite"):
        load_network(save_network(network, tmp_path / "fast_2x.safetensors", 1))
