"""The networks as graphs that other libraries compute: exported to ONNX once, for frames of any
size.

Two graphs where neighbouring frames are aligned, one for each call of the runner; one where none
are. The last pixel shuffle and the bicubic skip are computed outside (`layout.py`), by copies and
OpenCV: faster than by any of the libraries.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.upscaling.builds.forms import Around
from src.upscaling.builds.layout import (
    as_nchw,
    as_nhwc,
    filled,
    filled_count,
    pixels_of,
    shuffled,
    spread_runs,
    with_detail,
)
from src.upscaling.network import VideoNetwork
from src.upscaling.presets import NetworkSpec

EXTRA = "pip install --no-deps -r requirements-builds.txt"
EXPORTER = ("onnx", "onnxscript", "onnx_ir")
"""What an export needs: packages, and modules of the same names."""
INPUTS = {
    "features": ("stacked", "told"),
    "decode": ("x", "before", "y", "after", "told"),
    "whole": ("stacked", "told"),
}
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
        x, y = self.inside(as_nchw(stacked), told)
        return as_nhwc(x), as_nhwc(y)

    def inside(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """The same with channels before rows."""
        network = self.network
        x = F.leaky_relu(network.encode(stacked), 0.1)
        x = network.before(network.told_before(x, told))
        return x, F.conv2d(x, self.down, network.down.bias, stride=2)


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
        around = as_nchw(before), as_nchw(y), as_nchw(after)
        return self.inside(as_nchw(x), around, told)

    def inside(self, x: Tensor, around: Around, told: Tensor) -> Tensor:
        """The same of features with channels before rows."""
        network = self.network
        runs = spread_runs(as_nhwc(F.conv2d(network.trunk(*around), *self.up)), 2)
        x = pixels_of(runs, x.shape[1]) + x
        x = network.after(network.told_after(x, told))
        return as_nhwc(F.conv2d(x, *self.tail, padding=1))


class Whole(nn.Module):
    """Both, of a network that aligns nothing."""

    def __init__(self, network: VideoNetwork) -> None:
        super().__init__()
        self.features, self.detail = Features(network), Detail(network)

    def forward(self, stacked: Tensor, told: Tensor) -> Tensor:
        x, y = self.features.inside(as_nchw(stacked), told)
        return self.detail.inside(x, (y, y, y), told)


def missing_extra(*packages: str, cure: str = EXTRA) -> str | None:
    """See `Kind.lacks`: packages that have modules of their names."""
    missing = [name for name in packages if find_spec(name) is None]
    return f"it needs {', '.join(missing)}: {cure}" if missing else None


def graph_facts(*packages: str) -> dict[str, Any]:
    """See `Kind.facts`."""
    return {"opset": OPSET} | {name: _version(name) for name in packages}


def _version(package: str) -> str:
    """Of a package that is here; onnxruntime's build for GPUs is distributed under another name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(import_module(package).__version__)


def write_graphs(network: VideoNetwork, folder: Path) -> None:
    """The parts as ONNX, such as decode.onnx."""
    for name, graph in _graphs(network).items():
        (folder / f"{name}.onnx").write_bytes(graph)


@lru_cache(maxsize=2)
def _graphs(network: VideoNetwork) -> dict[str, bytes]:
    """ONNX of the parts; several kinds of builds may ask for those of one network, whose weights
    must not change any more.
    """
    modules = {"features": Features, "decode": Detail, "whole": Whole}
    grid, device, made = network.spec.grid, next(network.parameters()).device, {}
    for name, sizes in input_shapes(network.spec, *(side * grid for side in OWN)).items():
        # none is given twice: that would become one input
        given = tuple(torch.rand(size, device=device) for size in sizes)
        made[name] = _exported(modules[name](network), given, grid)
    return made


def input_shapes(
    spec: NetworkSpec, height: int, width: int
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Of the inputs of each part that the network has, for a frame of that size."""
    told, half = (1, 2), (1, height // 2, width // 2, spec.trunk)
    stacked, full = (1, height, width, 9), (1, height, width, spec.channels)
    if not spec.align:
        return {"whole": (stacked, told)}
    return {"features": (stacked, told), "decode": (full, half, half, half, told)}


def graph_names(spec: NetworkSpec) -> list[str]:
    """The names of the network's graphs."""
    return list(input_shapes(spec, spec.grid, spec.grid))


@torch.no_grad()
def _exported(module: nn.Module, given: tuple[Tensor, ...], grid: int) -> bytes:
    """ONNX of a part, for any size of the frames that all inputs but the last are of."""
    high, wide = (torch.export.Dim(name, min=2, max=MOST) for name in ("high", "wide"))
    shrunk = (given[0].shape[1] // frames.shape[1] for frames in given[:-1])
    sides = tuple({1: grid // by * high, 2: grid // by * wide} for by in shrunk)
    with _quiet():
        graph = torch.export.export(module, given, dynamic_shapes=(*sides, None))
        made = torch.onnx.export(graph, dynamo=True, opset_version=OPSET, verbose=False)
    if made is None:
        raise AssertionError("torch.onnx.export gave nothing")
    return made.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter misses torchvision, which nothing here needs, once for each of its operators,
    and torch warns of a class of its own (2.13).
    """
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            yield
    finally:
        log.setLevel(level)


class GraphForm:
    """See `Form`: the graphs, computed by a library one frame at a time, with channels last. Where
    there is one graph, `features` hands on what it gets. For one thread at a time.

    name: runtime and precision.
    """

    def __init__(self, name: str, network: VideoNetwork, compute: Compute) -> None:
        self.name, self.network, self.compute = name, network, compute
        self.filled = filled_count(3 * network.spec.scale**2)

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        spec = self.network.spec
        if not spec.align:
            return stacked, stacked
        n, _, height, width = stacked.shape
        x = stacked.new_empty(n, height, width, spec.channels)
        y = stacked.new_empty(n, height // 2, width // 2, spec.trunk)
        self._each("features", (as_nhwc(stacked), told), (x, y))
        return as_nchw(x), as_nchw(y)

    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        n, _, height, width = x.shape
        detail = x.new_empty(n, height, width, self.filled)
        if self.network.spec.align:
            self._each("decode", (as_nhwc(x), *map(as_nhwc, around), told), (detail,))
        else:
            self._each("whole", (as_nhwc(x), told), (detail,))
        return with_detail(frames, detail, self.network.spec.scale)

    def _each(self, part: str, given: tuple[Tensor, ...], out: tuple[Tensor, ...]) -> None:
        for place in range(len(out[0])):
            one = tuple(tensor[place : place + 1].contiguous() for tensor in given)
            self.compute(part, one, tuple(tensor[place : place + 1] for tensor in out))
