"""The networks as graphs that other libraries compute: exported to ONNX once, for frames of any
size.

Two graphs, as the runner has two calls. They hold what bends; the shuffle of a pixel's channels
into pixels, and the skip, are copies and OpenCV's cubic (`layout.py`), which no library computes as
fast.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.upscaling.builds.forms import Around
from src.upscaling.builds.layout import (
    filled,
    pixels_of,
    rows_of,
    shuffled,
    spread,
    with_detail,
)
from src.upscaling.network import VideoNetwork
from src.upscaling.presets import NetworkSpec

EXTRA = "pip install --no-deps -r requirements-builds.txt"
EXPORTER = ("onnx", "onnxscript")
"""What an export needs: packages, and modules of the same names."""
PARTS = {"features": ("stacked", "told"), "decode": ("x", "before", "y", "after", "told")}
"""The graphs, and the names of their inputs in the order in which they are given."""
OPSET = 20
OWN = (3, 5)
"""Height and width of the frame that is exported, in windows; none that the proof takes."""
MOST = 1024
"""Largest side of a frame, in windows."""
Compute = Callable[[str, tuple[Tensor, ...], tuple[Tensor, ...]], None]
"""Computes a part from its inputs into its outputs, all contiguous float32."""


class Features(nn.Module):
    """`VideoNetwork.features`, with what halves the size as one convolution."""

    def __init__(self, network: VideoNetwork) -> None:
        super().__init__()
        self.network = network
        down = network.down.weight.detach().reshape(-1, network.spec.channels, 2, 2)
        self.down = nn.Parameter(down)

    def forward(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        network = self.network
        x = F.leaky_relu(network.encode(_columns(stacked)), 0.1)
        x = network.before(network.told_before(x, told))
        return rows_of(x), rows_of(F.conv2d(x, self.down, network.down.bias, stride=2))


class Detail(nn.Module):
    """`VideoNetwork.decode` without its skip: (N, H, W, 3 scale scale, filled up), in the order of
    `shuffled`.
    """

    def __init__(self, network: VideoNetwork) -> None:
        super().__init__()
        self.network = network
        tail = filled(*shuffled(network.tail, network.spec.scale))
        self.tail = nn.ParameterList(part.detach() for part in tail)
        self.up = nn.ParameterList(part.detach() for part in shuffled(network.up, 2))

    def forward(self, x: Tensor, before: Tensor, y: Tensor, after: Tensor, told: Tensor) -> Tensor:
        network = self.network
        trunk = network.trunk(_columns(before), _columns(y), _columns(after))
        runs = spread(rows_of(F.conv2d(trunk, *self.up)), 2)
        x = pixels_of(runs, x.shape[-1]) + _columns(x)
        x = network.after(network.told_after(x, told))
        return rows_of(F.conv2d(x, *self.tail, padding=1))


def _columns(rows: Tensor) -> Tensor:
    """(N, H, W, C) seen as (N, C, H, W)."""
    return rows.permute(0, 3, 1, 2)


def lacking(*packages: str) -> str | None:
    """See `Kind.lacks`: packages that have modules of their names."""
    missing = [name for name in packages if find_spec(name) is None]
    return f"it needs {', '.join(missing)}: {EXTRA}" if missing else None


def facts_of(*packages: str) -> dict[str, Any]:
    """See `Kind.facts`."""
    return {"opset": OPSET} | {name: version(name) for name in packages}


def write(network: VideoNetwork, folder: Path) -> None:
    """Both parts as ONNX: features.onnx and decode.onnx."""
    for name, graph in _graphs(network).items():
        (folder / f"{name}.onnx").write_bytes(graph)


@lru_cache(maxsize=1)
def _graphs(network: VideoNetwork) -> dict[str, bytes]:
    """ONNX of both parts; several kinds of builds may ask for those of one network."""
    modules = {"features": Features(network), "decode": Detail(network)}
    grid, shrunk = network.spec.grid, {"features": (1,), "decode": (1, 2, 2, 2)}
    device, made = next(network.parameters()).device, {}
    for name, sizes in shapes(network.spec, *(side * grid for side in OWN)).items():
        # none is given twice: that would become one input
        given = tuple(torch.rand(size, device=device) for size in sizes)
        made[name] = _exported(modules[name], given, shrunk[name], grid)
    return made


def shapes(spec: NetworkSpec, height: int, width: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Of the inputs of both parts, for a frame of that size."""
    told, half = (1, 2), (1, height // 2, width // 2, spec.trunk)
    full = (1, height, width, spec.channels)
    return {"features": ((1, height, width, 9), told), "decode": (full, half, half, half, told)}


@torch.no_grad()
def _exported(
    module: nn.Module, given: tuple[Tensor, ...], shrunk: Sequence[int], grid: int
) -> bytes:
    """ONNX of a part. shrunk: of each input but the last, by how much its sides are smaller."""
    high, wide = (torch.export.Dim(name, min=2, max=MOST) for name in ("high", "wide"))
    sides = tuple({1: grid // by * high, 2: grid // by * wide} for by in shrunk)
    # it misses torchvision, which nothing here needs, once for each of its operators
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    graph = torch.export.export(module, given, dynamic_shapes=(*sides, None))
    made = torch.onnx.export(graph, dynamo=True, opset_version=OPSET, verbose=False)
    if made is None:
        raise AssertionError("torch.onnx.export gave nothing")
    return made.model_proto.SerializeToString()


class GraphForm:
    """See `Form`: the two graphs, computed by a library one frame at a time. Everything lies with
    channels last.

    name: runtime and precision.
    """

    def __init__(self, name: str, network: VideoNetwork, compute: Compute) -> None:
        self.name, self.network, self.compute = name, network, compute
        self.filled = -(-3 * network.spec.scale**2 // 8) * 8

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        spec = self.network.spec
        n, _, height, width = stacked.shape
        x = stacked.new_empty(n, height, width, spec.channels)
        y = stacked.new_empty(n, height // 2, width // 2, spec.trunk)
        self._each("features", (rows_of(stacked), told), (x, y))
        return _columns(x), _columns(y)

    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        n, _, height, width = x.shape
        detail = x.new_empty(n, height, width, self.filled)
        self._each("decode", (rows_of(x), *map(rows_of, around), told), (detail,))
        return with_detail(frames, detail, self.network.spec.scale)

    def _each(self, part: str, given: tuple[Tensor, ...], out: tuple[Tensor, ...]) -> None:
        for place in range(len(out[0])):
            one = tuple(tensor[place : place + 1].contiguous() for tensor in given)
            self.compute(part, one, tuple(tensor[place : place + 1] for tensor in out))
