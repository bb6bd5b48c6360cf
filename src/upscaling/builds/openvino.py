"""The networks in OpenVINO, float32 on a CPU: exported to ONNX once, with any size of frames.

The packages are an extra (`requirements-builds.txt`) and are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.upscaling.builds.forms import Around
from src.upscaling.network import VideoNetwork

EXTRA = "pip install --no-deps -r requirements-builds.txt"
PACKAGES = {"openvino": "openvino", "onnx": "onnx", "onnxscript": "onnxscript"}
"""Modules that are needed, and the packages that they come in."""
OPSET = 20
OWN = (3, 5)
"""Height and width of the frame that is exported, in windows; none that the proof takes."""
MOST = 1024
"""Largest side of a frame, in windows."""


class _Features(nn.Module):
    def __init__(self, network: VideoNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.features(stacked, told)


class _Decode(nn.Module):
    def __init__(self, network: VideoNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: Tensor, x: Tensor, before: Tensor, y: Tensor, after: Tensor, told: Tensor
    ) -> Tensor:
        return self.network.decode(frames, x, (before, y, after), told)


def lacks(device: str) -> str | None:
    """See `Kind.lacks`."""
    if device != "cpu":
        return "it runs on the CPU only"
    missing = [package for name, package in PACKAGES.items() if find_spec(name) is None]
    return f"it needs {', '.join(missing)}: {EXTRA}" if missing else None


def facts() -> dict[str, Any]:
    """See `Kind.facts`."""
    return {"opset": OPSET} | {name: version(name) for name in PACKAGES.values()}


def write(network: VideoNetwork, folder: Path) -> None:
    """Both parts as ONNX: features.onnx and decode.onnx."""
    grid, spec = network.spec.grid, network.spec
    frames, told = torch.rand(1, 3, OWN[0] * grid, OWN[1] * grid), torch.zeros(1, 2)
    x = torch.rand(1, spec.channels, *frames.shape[2:])
    half = [torch.rand(1, spec.trunk, *(side // 2 for side in frames.shape[2:])) for _ in range(3)]
    # the same tensor given twice would become one input
    parts = {
        "features": (_Features(network), (frames.repeat(1, 3, 1, 1), told), (1,)),
        "decode": (_Decode(network), (frames, x, *half, told), (1, 1, 2, 2, 2)),
    }
    for name, (module, given, shrunk) in parts.items():
        (folder / f"{name}.onnx").write_bytes(_exported(module, given, shrunk, grid))


@torch.no_grad()
def _exported(
    module: nn.Module, given: tuple[Tensor, ...], shrunk: Sequence[int], grid: int
) -> bytes:
    """ONNX of a part. shrunk: of each input but the last, by how much its sides are smaller."""
    high, wide = (torch.export.Dim(name, min=2, max=MOST) for name in ("high", "wide"))
    sides = tuple({2: grid // by * high, 3: grid // by * wide} for by in shrunk)
    graph = torch.export.export(module, given, dynamic_shapes=(*sides, None))
    made = torch.onnx.export(graph, dynamo=True, opset_version=OPSET, verbose=False)
    if made is None:
        raise AssertionError("torch.onnx.export gave nothing")
    return made.model_proto.SerializeToString()


@lru_cache(maxsize=1)
def _core() -> Any:
    return import_module("openvino").Core()


class OpenVinoForm:
    """See `Form`. folder: what `write` wrote. Takes as many threads as torch does now."""

    name = "openvino fp32"

    def __init__(self, folder: Path) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self.parts = {
            name: _core().compile_model(
                _core().read_model(folder / f"{name}.onnx"), "CPU", settings
            )
            for name in ("features", "decode")
        }

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self._each("features", (stacked, told))
        return x, y

    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        (made,) = self._each("decode", (frames, x, *around, told))
        return made

    def _each(self, part: str, given: tuple[Tensor, ...]) -> list[Tensor]:
        """The outputs of a part; graphs take one frame at a time."""
        made = []
        for one in zip(*(tensor.split(1) for tensor in given), strict=True):
            out = self.parts[part]([tensor.contiguous().numpy() for tensor in one])
            made.append([torch.from_numpy(out[place]) for place in range(len(out))])
        return [torch.cat(each) for each in zip(*made, strict=True)]
