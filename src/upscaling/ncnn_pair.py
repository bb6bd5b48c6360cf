"""A Compact network in ncnn's two files, FILE.param and FILE.bin, as tensors by the names of its
PyTorch form. Every byte of the .bin file is used; anything else than such a network is refused.

The .bin file holds, in the order of the layers: for a convolution a tag of four bytes, its weights
(out, in, 3, 3), filled up to four bytes, and its bias in float32; for a PReLU its slopes in
float32. All numbers are little-endian.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import is_file
from src.upscaling.ncnn_graph import NcnnLayer, compact_chain, read_graph

FORMS = {0x00000000: "<f4", 0x01306B47: "<f2"}
"""Tags of weights that this reads: float32 and float16; ncnn also knows int8 and tables."""


def ncnn_pair(path: Path) -> tuple[Path, Path] | None:
    """The .param and the .bin file of a network that is named by either of them.

    None for a .bin file that stands alone, which may be anything. Raises MissingFileError for a
    .param file without its numbers.
    """
    param, data = path.with_suffix(".param"), path.with_suffix(".bin")
    if path.suffix == ".bin" and is_file(param):
        return param, data
    if path.suffix != ".param":
        return None
    if not is_file(data):
        raise MissingFileError(f"{path.name} has its weights in {data}, which is not there")
    return param, data


def read_ncnn(param: Path, data: Path) -> dict[str, Any]:
    """`body.N.weight` and `body.N.bias` in float32, float16 numbers as they are, on the CPU.

    Raises BadInputError where the two files are not a Compact network and nothing else.
    """
    import torch

    try:
        layers = read_graph(_text(param))
        parts = _parts(compact_chain(layers))
    except BadInputError as error:
        raise BadInputError(
            f"{param} is no Compact network, the only kind that is read from ncnn: {error}"
        ) from None
    ordered = [layer for layer in layers if layer.outputs[0] in parts]
    held = _held(_Numbers(data, parts), ordered, parts)
    return {name: torch.from_numpy(value) for name, value in held.items()}


def _text(param: Path) -> str:
    try:
        return param.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise BadInputError("it is not text") from None


Parts = dict[str, tuple[str, tuple[int, ...]]]
"""The name in PyTorch's form and the shape of weights, by the blob that their layer makes."""


def _parts(chain: list[NcnnLayer]) -> Parts:
    """Raises BadInputError for a layer that does not fit the one before."""
    parts: Parts = {}
    channels = 3
    for place, layer in enumerate(chain):
        size = int(layer.number("0"))
        convolves = layer.kind == "Convolution"
        shape = (size, channels, 3, 3) if convolves else (size,)
        wanted = (size, prod(shape)) if convolves else (channels, channels)
        if size < 1 or wanted != (layer.number("0"), layer.number("6" if convolves else "0")):
            raise BadInputError(
                f"layer {layer.name} ({layer.kind}) of {size} does not fit the {channels} channels"
                " before it"
            )
        parts[layer.outputs[0]], channels = (f"body.{place}", shape), size
    return parts


def _held(numbers: _Numbers, layers: list[NcnnLayer], parts: Parts) -> dict[str, np.ndarray]:
    """Tensors by name; layers: in the file's order."""
    held: dict[str, np.ndarray] = {}
    for layer in layers:
        name, shape = parts[layer.outputs[0]]
        if layer.kind == "PReLU":
            held[f"{name}.weight"] = numbers.plain(shape, layer)
        else:
            held[f"{name}.weight"] = numbers.tagged(shape, layer)
            held[f"{name}.bias"] = numbers.plain(shape[:1], layer)
    numbers.check_end()
    return held


class _Numbers:
    """The .bin file, read from its start to its end."""

    def __init__(self, data: Path, parts: Parts) -> None:
        self.path, self.place = data, 0
        most = sum(4 * (1 + shape[0] + prod(shape)) for _, shape in parts.values())
        if data.stat().st_size > most:
            raise BadInputError(f"{data} holds more than its layers take, {most:,} bytes at most")
        self.held = data.read_bytes()

    def _bytes(self, count: int, layer: NcnnLayer) -> bytes:
        self.place += count
        if self.place > len(self.held):
            raise BadInputError(f"{self.path} ends before the numbers of layer {layer.name}")
        return self.held[self.place - count : self.place]

    def plain(self, shape: tuple[int, ...], layer: NcnnLayer, form: str = "<f4") -> np.ndarray:
        """Numbers of one form, as float32."""
        kind = np.dtype(form)
        size = prod(shape) * kind.itemsize
        read = np.frombuffer(self._bytes(size + -size % 4, layer)[:size], kind)
        return read.astype(np.float32).reshape(shape)

    def tagged(self, shape: tuple[int, ...], layer: NcnnLayer) -> np.ndarray:
        """Numbers of the form that the tag before them says."""
        tag = int.from_bytes(self._bytes(4, layer), "little")
        if tag not in FORMS:
            raise BadInputError(
                f"{self.path} holds layer {layer.name} in form 0x{tag:08X};"
                " float16 and float32 are read"
            )
        return self.plain(shape, layer, FORMS[tag])

    def check_end(self) -> None:
        """Raises BadInputError for bytes that no layer has."""
        if self.place != len(self.held):
            raise BadInputError(
                f"{self.path} holds {len(self.held):,} bytes, of which its layers take"
                f" {self.place:,}"
            )
