"""Exported graphs whose convolutions compute in 8 bits: activations unsigned, weights signed and a
scale a channel, both set from frames of photographs.

Where the alignment looks stays in float32: the convolution before `GridSample` would move whole
pixels. So does the last one, whose steps would show in skies. Static quantisation with QDQ pairs
(ONNX Runtime's), which OpenVINO reads as well. Processors without VNNI get weights of 7 bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.devices import cpu_adds_byte_products
from src.core.durable import check_writable
from src.upscaling.builds import exported
from src.upscaling.builds.exported import INPUTS, Features, graph_names
from src.upscaling.builds.forms import features_around
from src.upscaling.builds.layout import as_nhwc
from src.upscaling.builds.proof import moving_clip
from src.upscaling.network import VideoNetwork, with_neighbours

PACKAGES = ("onnxruntime",)
"""What quantises, beside what exports."""
PHOTOGRAPHS = ("coins", "hubble_deep_field", "immunohistochemistry", "text")
"""Of those that training may see; the proof takes others."""
SIDES = (8, 12)
"""Of a calibration frame, in windows."""
FRAMES = (0, 2)
"""Of each clip: one that stands in for what is before it, and one between others."""
Feed = dict[str, tuple[Tensor, ...]]


def write_int8(network: VideoNetwork, folder: Path) -> None:
    """The parts as ONNX, quantised. Raises OSError, or OutputError where temporary files have no
    room: of those ONNX Runtime would write a half without a word.
    """
    with tempfile.TemporaryDirectory() as exact:
        check_writable(Path(exact) / "exact", "make room there, or set TMPDIR")
        exported.write_graphs(network, Path(exact))
        feeds = list(_feeds(network))
        for part in graph_names(network.spec):
            given = [dict(zip(INPUTS[part], feed[part], strict=True)) for feed in feeds]
            _quantise(Path(exact) / f"{part}.onnx", folder / f"{part}.onnx", given)


def calibration() -> dict[str, Any]:
    """What of the calibration decides a build's bytes."""
    shipped, bits = version("scikit-image"), 8 if cpu_adds_byte_products() else 7
    return {"calibration": [*PHOTOGRAPHS, *SIDES, *FRAMES], "scikit-image": shipped, "bits": bits}


@torch.inference_mode()
def _feeds(network: VideoNetwork) -> Iterator[Feed]:
    """The inputs of all parts, of some frames of every photograph."""
    compute, told = Features(network), torch.zeros(1, 2)
    height, width = (side * network.spec.grid for side in SIDES)
    for name in PHOTOGRAPHS:
        low = moving_clip(name, height, width, network.spec.scale)[1][None]
        stacked = as_nhwc(with_neighbours(low)[0])
        known = [compute(one[None], told) for one in stacked]
        for t in FRAMES:
            frame, near = (stacked[t][None], told), features_around(known, t)
            yield {"features": frame, "whole": frame, "decode": (known[t][0], *near, told)}


def _quantise(source: Path, target: Path, feeds: list[dict[str, Tensor]]) -> None:
    tools, onnx = import_module("onnxruntime.quantization"), import_module("onnx")
    prepared = source.with_suffix(".prepared.onnx")
    import_module("onnxruntime.quantization.shape_inference").quant_pre_process(
        source, prepared, skip_symbolic_shape=True
    )
    graph = onnx.load(prepared).graph
    tools.quantize_static(
        prepared, target, _reader(graph, feeds), op_types_to_quantize=["Conv"], per_channel=True,
        activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
        nodes_to_exclude=kept_exact(graph), reduce_range=not cpu_adds_byte_products(),
        extra_options={"OpTypesToExcludeOutputQuantization": ["Conv"]},
    )  # fmt: skip


def _reader(graph: Any, feeds: list[dict[str, Tensor]]) -> Any:
    """What `quantize_static` reads its inputs from."""
    known = [put.name for put in graph.input]
    left = iter([{name: feed[name].numpy() for name in known} for feed in feeds])

    class Reader(import_module("onnxruntime.quantization").CalibrationDataReader):
        def get_next(self) -> Any:
            return next(left, None)

    return Reader()


def kept_exact(graph: Any) -> list[str]:
    """The names of the convolutions that stay in float32: the last, where the graph gives detail,
    and those that places are computed from.
    """
    makers = {name: node for node in graph.node for name in node.output}
    places = [node.input[1] for node in graph.node if node.op_type == "GridSample"]
    ends = [graph.output[0].name] if len(graph.output) == 1 else []
    return sorted({_convolution_before(name, makers).name for name in [*places, *ends]})


def _convolution_before(name: str, makers: dict[str, Any]) -> Any:
    """The nearest convolution that a tensor is computed from."""
    waiting = [name]
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is not None and node.op_type == "Conv":
            return node
        waiting += node.input if node is not None else []
    raise AssertionError(f"{name} comes from no convolution")
