"""Compact networks in ncnn's form: read to the last byte, and nothing else is."""

import os
import struct

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from src.cli.convert_upscaler import convert_upscaler_app
from src.core.errors import BadInputError
from src.core.files import sha256_of
from src.upscaling.community import detect_community
from src.upscaling.ncnn_pair import read_ncnn
from tests.command_kit import run_here
from tests.upscaling.test_community import compact_by_hand, compact_state, needs_spandrel

FORMS = {"float16": (0x01306B47, "<f2"), "float32": (0, "<f4")}
HOW = "pip install --no-deps -r requirements-upscalers-tests.txt"


def half_state(**size):
    """Seeded weights that are float16 numbers; biases and slopes need float32."""
    random = torch.Generator().manual_seed(2)
    state = compact_state(**size)
    for name, value in state.items():
        if value.ndim == 4:
            state[name] = value.half().float()
        else:
            state[name] = value + 0.1 * torch.rand(value.shape, generator=random)
    return state


def param_text(state, scale):
    """The .param file: the layers of the chain, and the picture enlarged beside them."""
    last = max(int(name.split(".")[1]) for name in state)
    lines = ["Input in 0 1 data", "Split fork 1 2 data left b0"]
    for place in range(last + 1):
        weight = state[f"body.{place}.weight"]
        kind, settings = "PReLU", f"0={len(weight)}"
        if weight.ndim == 4:
            kind, settings = "Convolution", f"0={len(weight)} 1=3 4=1 5=1 6={weight.numel()}"
        lines.append(f"{kind} layer{place} 1 1 b{place} b{place + 1} {settings}")
    lines += [
        f"PixelShuffle shuffle 1 1 b{last + 1} up 0={scale}",
        f"Interp resize 1 1 left near 0=1 1={scale:e} 2={scale:e}",
        "BinaryOp sum 2 1 up near out",
    ]
    return "\n".join(["7767517", f"{len(lines)} {len(lines) + 1}", *lines, ""])


def bin_bytes(state, form):
    """The .bin file as ncnn's documentation has it."""
    tag, kind = FORMS[form]
    data = b""
    for place in range(1 + max(int(name.split(".")[1]) for name in state)):
        weight = state[f"body.{place}.weight"]
        if weight.ndim == 4:
            stored = weight.numpy().astype(kind).tobytes()
            data += struct.pack("<I", tag) + stored + bytes(-len(stored) % 4)
            weight = state[f"body.{place}.bias"]
        data += weight.numpy().astype("<f4").tobytes()
    return data


def write_pair(folder, state, scale=2, form="float16"):
    param = folder / "street.param"
    param.write_text(param_text(state, scale))
    param.with_suffix(".bin").write_bytes(bin_bytes(state, form))
    return param


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [
    {"scale": 2}, {"scale": 1, "features": 5, "convolutions": 1}, {"scale": 4, "convolutions": 3},
])  # fmt: skip
def test_a_network_comes_back_bit_for_bit(tmp_path, size, form):
    state = half_state(**size)
    param = write_pair(tmp_path, state, size["scale"], form)
    made = read_ncnn(param, param.with_suffix(".bin"))
    assert made.keys() == state.keys()
    assert all(torch.equal(made[name], state[name]) for name in state)


@pytest.mark.parametrize("named", ["street.param", "street.bin"])
def test_the_command_takes_either_file(tmp_path, named):
    state = half_state()
    param, target = write_pair(tmp_path, state), tmp_path / "street.safetensors"
    done = run_here(convert_upscaler_app(), "--input", tmp_path / named, "--output", target)
    assert (done.returncode, done.stdout.strip()) == (0, str(target)), done.stderr
    made = load_file(target)
    assert all(torch.equal(made[name], state[name]) for name in state)
    with safe_open(target, "pt") as file:
        assert file.metadata() == {
            "converted_from": "street.bin",
            "converted_sha256": sha256_of(param.with_suffix(".bin")),
        }


@needs_spandrel
def test_what_it_makes_is_the_network(tmp_path):
    from src.upscaling.community import read_descriptor

    state, target = half_state(), tmp_path / "made.safetensors"
    param = write_pair(tmp_path, state)
    run_here(convert_upscaler_app(), "--input", param, "--output", target)
    frame = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    given = torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None]
    made = read_descriptor(target)(given)[0].permute(1, 2, 0).numpy()
    assert np.abs(made - compact_by_hand(state, frame)).max() <= 1e-5


def test_it_equals_ncnn(tmp_path):
    """The bar of networks that spandrel loads: the same sums in float32, in another order."""
    if os.environ.get("CI"):
        import ncnn
    else:
        ncnn = pytest.importorskip("ncnn", reason=f"ncnn is not here: {HOW}")
    state = half_state()
    param = write_pair(tmp_path, state)
    read = read_ncnn(param, param.with_suffix(".bin"))
    frame = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    made = by_ncnn(ncnn, param, frame).clip(0, 1)
    assert np.abs(made - compact_by_hand(read, frame)).max() <= 1e-5


def by_ncnn(ncnn, param, frame):
    """ncnn's own result in float32, (height, width, 3); its memory ends with the extractor."""
    net = ncnn.Net()
    for form in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{form}", False)
    net.opt.use_winograd_convolution = False
    assert not net.load_param(str(param)) and not net.load_model(str(param.with_suffix(".bin")))
    given = np.ascontiguousarray(frame.astype(np.float32).transpose(2, 0, 1) / 255)
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(given).clone())
    failed, made = extractor.extract(net.output_names()[0])
    assert not failed
    return np.array(made).copy().transpose(1, 2, 0)


@pytest.mark.parametrize(("old", "new", "words"), [
    ("7767517", "7767518", "first line is not 7767517"),
    ("\n12 13\n", "\n11 13\n", "names 12 layers and says 11 13"),
    ("1=3 4=1", "1=5 4=1", "layer0 .Convolution. has 1=5"),
    (" 4=1", "", "layer0 .Convolution. has no number 4="),
    ("5=1 6=216", "5=1 6=216 9=2", "has 9=2"),
    ("6=216", "6=217", "layer0 .Convolution. of 8 does not fit the 3 channels"),
    ("b1 b2 0=8", "b1 b2 0=1", "layer1 .PReLU. of 1 does not fit the 8 channels"),
    ("b1 b2 0=8", "b1 b2 0=inf", "layer1 .PReLU. has no number 0="),
    ("PReLU", "ReLU", "has 0=8"),
    ("PReLU layer3 1 1 b3 b4 0=8", "Noop layer3 1 1 b3 b4", "do not take turns"),
    ("BinaryOp sum 2 1 up near out", "BinaryOp sum 2 1 up near out 0=2", "sum .BinaryOp. has 0=2"),
    ("left near 0=1", "left near 0=2", "resize .Interp. has 0=2"),
    ("up 0=2", "up 0=3", "shuffles by 3, enlarges the picture by 2x2 and makes 12 channels"),
    ("2 1 up near out", "2 1 up up out", "not one output"),
    ("1 1 b2 b3", "1 1 b9 b3", "not one output"),
    ("1 1 b2 b3", "1 2 b2 b3 spare", "no layer takes spare"),
    ("1 2 data left b0", "1 3 data left b0 spare", "no layer takes spare"),
    ("1 1 b0 b1", "1 1 b7 b1", "layer6 .Convolution. joins branches"),
    ("1 1 b6 b7", "2 1 b6 b4 b7", "layer6 .Convolution. joins branches"),
    ("1 1 b2 b3", "x 1 b2 b3", "is no layer"),
])  # fmt: skip
def test_another_network_is_one_sentence(tmp_path, old, new, words):
    param = write_pair(tmp_path, half_state(convolutions=2))
    assert old in param.read_text()
    param.write_text(param.read_text().replace(old, new, 1))
    with pytest.raises(BadInputError, match=words):
        read_ncnn(param, param.with_suffix(".bin"))


@pytest.mark.parametrize(("change", "words"), [
    (lambda data: data[:-4], "ends before the numbers of layer layer4"),
    (lambda data: data[:2], "ends before the numbers of layer layer0"),
    (lambda data: data + bytes(4), "of which its layers take"),
    (lambda data: data * 3, "holds more than its layers take"),
    (lambda data: b"\x38\x4b\x0d\x00" + data[4:], "layer0 in form 0x000D4B38"),
])  # fmt: skip
def test_a_file_of_another_length_or_form_is_refused(tmp_path, change, words):
    param = write_pair(tmp_path, half_state(convolutions=1))
    data = param.with_suffix(".bin")
    data.write_bytes(change(data.read_bytes()))
    with pytest.raises(BadInputError, match=words):
        read_ncnn(param, data)


def test_a_pair_is_not_loaded_but_converted(tmp_path):
    param = write_pair(tmp_path, half_state())
    for path in (param, param.with_suffix(".bin")):
        with pytest.raises(BadInputError, match=r"in ncnn's form; .*src\.convert_upscaler"):
            detect_community(path)


def test_layers_without_their_numbers_are_one_sentence(tmp_path):
    param = write_pair(tmp_path, half_state())
    param.with_suffix(".bin").unlink()
    done = run_here(
        convert_upscaler_app(), "--input", param, "--output", tmp_path / "made.safetensors"
    )
    assert (done.returncode, "street.bin, which is not there" in done.stderr) == (2, True)
