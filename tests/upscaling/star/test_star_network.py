"""STAR's network: every key and shape of the published checkpoints, and numbers of the original's.

`numbers.npz` holds what the original's code (NJU-PCALab/STAR, commit 69b8bc5) made of weights and
inputs that `kit.seeded` and `_inputs` make again; nothing of it is here but those numbers.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError
from src.upscaling.star.files import FORMAT, expected, load_star
from src.upscaling.star.layers import SpaceTransformer, TimeTransformer
from src.upscaling.star.network import StarNetwork
from src.upscaling.star.spec import ROWS, StarSpec, fitting
from tests.upscaling.star.kit import NARROW, RECORDED, seeded

NUMBERS = np.load(Path(__file__).parent / "numbers.npz")


@pytest.fixture(scope="module")
def recorded() -> StarNetwork:
    network = StarNetwork(RECORDED).eval().requires_grad_(False)
    network.load_state_dict(seeded(expected(RECORDED), 11), strict=True)
    return network


@pytest.fixture(scope="module")
def narrow() -> StarNetwork:
    network = StarNetwork(NARROW).eval().requires_grad_(False)
    network.load_state_dict(seeded(expected(NARROW), 1), strict=True)
    return network


def _inputs(frames: int, height: int, width: int, seed: int, context: int):
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    shapes = [(1, 4, frames, height, width)] * 2 + [(1, 7, context)]
    x, hint, text = (torch.from_numpy(random.standard_normal(s, np.float32)) for s in shapes)
    return x[0].transpose(0, 1), hint[0].transpose(0, 1), text


def test_all_keys_and_shapes_at_full_size():
    shapes = expected(StarSpec())
    counts = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    control = [count for name, count in counts.items() if name.startswith("VideoControlNet.")]
    assert (len(shapes), sum(counts.values()), sum(control)) == (2247, 2_041_121_910, 629_886_414)


@pytest.mark.parametrize(("name", "shape"), [
    ("time_embed.0.weight", (1280, 320)),
    ("input_blocks.0.0.weight", (320, 4, 3, 3)),
    ("input_blocks.0.1.proj_in.weight", (512, 320, 1)),
    ("input_blocks.0.1.transformer_blocks.0.local2.conv1.weight", (1, 2)),
    ("input_blocks.1.1.transformer_blocks.0.local1.conv1.weight", (1, 2, 7, 7)),
    ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", (320, 1024)),
    ("input_blocks.1.1.transformer_blocks.0.ff.net.0.proj.weight", (2560, 320)),
    ("input_blocks.1.1.proj_in.weight", (320, 320)),
    ("input_blocks.3.op.weight", (320, 320, 3, 3)),
    ("input_blocks.4.0.skip_connection.weight", (640, 320, 1, 1)),
    ("input_blocks.10.0.temopral_conv.conv1.2.weight", (1280, 1280, 3, 1, 1)),
    ("input_blocks.11.0.temopral_conv.conv4.3.bias", (1280,)),
    ("middle_block.3.emb_layers.1.weight", (1280, 1280)),
    ("output_blocks.2.1.conv.weight", (1280, 1280, 3, 3)),
    ("output_blocks.5.3.conv.weight", (1280, 1280, 3, 3)),
    ("output_blocks.8.3.conv.weight", (640, 640, 3, 3)),
    ("output_blocks.11.0.in_layers.2.weight", (320, 640, 3, 3)),
    ("out.2.weight", (4, 320, 3, 3)),
    ("VideoControlNet.zero_convs.11.0.weight", (1280, 1280, 1, 1)),
    ("VideoControlNet.middle_block_out.0.weight", (1280, 1280, 1, 1)),
    ("VideoControlNet.input_hint_block.weight", (320, 4, 3, 3)),
    ("VideoControlNet.time_embed.2.bias", (1280,)),
])  # fmt: skip
def test_names_and_shapes_are_the_checkpoints(name, shape):
    assert expected(StarSpec())[name] == shape


def test_widths_on_the_way_up():
    shapes = expected(StarSpec())
    widths = [shapes[f"output_blocks.{place}.0.in_layers.0.weight"][0] for place in range(12)]
    assert widths == [2560] * 5 + [1920, 1920, 1280, 960, 960, 640, 640]


@pytest.mark.parametrize(
    ("place", "shape"), [(1, "3x10x8x899"), (2, "1x18x16x90"), (3, "5x2x24x500")]
)
def test_it_equals_the_original(recorded, place, shape):
    frames, height, width, time = map(int, shape.split("x"))
    x, hint, text = _inputs(frames, height, width, place, RECORDED.context)
    made = recorded(x, torch.tensor([time]), text, hint)
    assert np.abs(made.numpy() - NUMBERS[f"network_{shape}"]).max() <= 1e-4


@pytest.mark.parametrize("height", [2, 10, 18])
def test_rows_of_2_modulo_8_come_out_as_they_went_in(narrow, height):
    x, hint, text = _inputs(2, height, 8, 1, NARROW.context)
    assert narrow(x, torch.tensor([9]), text, hint).shape == x.shape


@pytest.mark.parametrize("height", [8, 12])
def test_other_rows_do_not_go_through(narrow, height):
    x, hint, text = _inputs(2, height, 8, 1, NARROW.context)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        narrow(x, torch.tensor([9]), text, hint)
    assert fitting(height, ROWS) % 8 == 2 and fitting(height, ROWS) >= height


@pytest.mark.parametrize("kind", [SpaceTransformer, TimeTransformer])
def test_slices_of_rows_change_nothing(kind, monkeypatch):
    torch.manual_seed(0)
    layer = kind(NARROW, 8).eval().requires_grad_(False)
    frames, text = torch.randn(6, 8, 4, 5), torch.randn(1, 7, NARROW.context)
    whole = layer(frames, None, text)
    monkeypatch.setattr("src.upscaling.star.layers.TOKENS", 40)
    assert torch.allclose(layer(frames, None, text), whole, atol=1e-6)


def test_a_file_says_how_wide_it_is_and_loads(tmp_path, narrow):
    file = tmp_path / "star.safetensors"
    save_file(narrow.state_dict(), file, {"format": FORMAT, "spec": NARROW.model_dump_json()})
    loaded = load_star(file, torch.float32)
    assert loaded.spec == NARROW
    wanted = narrow.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(("change", "sentence"), [
    ("lacks", "it lacks 1 of 2247 tensors, out.2.bias first"),
    ("more", "it has 1 tensors too many, extra first"),
    ("shape", r"out.2.bias is of shape \(5,\), not \(4,\)"),
    ("damaged", "out.2.bias holds numbers that are not finite"),
])  # fmt: skip
def test_what_is_not_the_network_is_refused_in_one_sentence(tmp_path, change, sentence):
    tensors = seeded(expected(NARROW), 1)
    name, change_to = "out.2.bias", {"shape": 0.0, "damaged": float("nan")}
    if change == "lacks":
        del tensors[name]
    elif change == "more":
        tensors["extra"] = torch.zeros(1)
    else:
        tensors[name] = torch.full((5 if change == "shape" else 4,), change_to[change])
    file = tmp_path / "star.safetensors"
    save_file(tensors, file, {"format": FORMAT, "spec": NARROW.model_dump_json()})
    with pytest.raises(BadInputError, match=sentence):
        load_star(file, torch.float32)
