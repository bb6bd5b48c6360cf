"""The .param file of an ncnn network: its layers, and whether they are a Compact network.

A line is `kind name inputs outputs`, the blobs' names, and settings as `key=value`
(https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure). A Compact network
(SRVGGNetCompact of Real-ESRGAN) is a chain of convolutions and PReLUs, a pixel shuffle, and the
picture itself added, enlarged by the nearest pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from src.core.errors import BadInputError

MAGIC = "7767517"
FREE = {
    "Convolution": {"0", "6"},
    "PReLU": {"0"},
    "PixelShuffle": {"0"},
    "Interp": {"1", "2"},
    "Input": {"0", "1", "2"},
}
"""Settings that differ from network to network, by kind of layer; they are told by number."""
MUST: dict[str, dict[str, float]] = {
    "Convolution": {"1": 3, "4": 1, "5": 1},
    "Interp": {"0": 1},
}
"""Settings that ncnn gives another value when they are not there: 3x3, filled by one, with a bias;
the nearest pixel.
"""
MAY: dict[str, dict[str, float]] = {
    "Convolution": {
        **dict.fromkeys(("2", "3", "12", "13", "14", "15", "16"), 1),
        **dict.fromkeys(("8", "9", "18", "19"), 0),
        "11": 3,
    },
    "PixelShuffle": {"1": 0},
    "Interp": dict.fromkeys(("3", "4", "5", "6"), 0),
    "BinaryOp": dict.fromkeys(("0", "1", "2"), 0),
}
"""Settings that change nothing at this value, which is also ncnn's own."""


@dataclass(frozen=True)
class NcnnLayer:
    """One line of a .param file; settings by their number, as text."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, str]

    def number(self, key: str) -> float:
        """One setting. Raises BadInputError where it is not there or no number."""
        try:
            found = float(self.settings[key])
        except (KeyError, ValueError):
            found = float("nan")
        if not isfinite(found):
            raise BadInputError(f"layer {self.name} ({self.kind}) has no number {key}=")
        return found


def read_graph(text: str) -> list[NcnnLayer]:
    """The layers in the order in which the .bin file holds their numbers.

    Raises BadInputError.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != [MAGIC]:
        raise BadInputError(f"its first line is not {MAGIC}")
    layers = [_layer(words) for words in lines[2:]]
    if lines[1][:1] != [str(len(layers))]:
        raise BadInputError(f"it names {len(layers)} layers and says {' '.join(lines[1])}")
    return layers


def _layer(words: list[str]) -> NcnnLayer:
    try:
        takes, makes = int(words[2]), int(words[3])
    except (IndexError, ValueError):
        raise BadInputError(f"{' '.join(words)[:80]} is no layer") from None
    end = 4 + takes + makes
    settings = dict(word.partition("=")[::2] for word in words[end:])
    if min(takes, makes) < 0 or len(words) < end or len(settings) != len(words) - end:
        raise BadInputError(f"{' '.join(words)[:80]} is no layer")
    return NcnnLayer(
        words[0], words[1], tuple(words[4 : 4 + takes]), tuple(words[4 + takes : end]), settings
    )


def compact_chain(layers: list[NcnnLayer]) -> list[NcnnLayer]:
    """Convolutions and PReLUs of a Compact network in turn, the first one first.

    Raises BadInputError where the layers are anything but that.
    """
    for layer in layers:
        _check(layer)
    made_by = {blob: layer for layer in layers for blob in layer.outputs}
    used = {blob for layer in layers for blob in layer.inputs}
    ends = [layer for layer in layers if not used.intersection(layer.outputs)]
    alone = len(made_by) == sum(len(layer.outputs) for layer in layers)
    if not alone or [len(layer.outputs) for layer in ends] != [1]:
        raise BadInputError("its layers have not one output")
    chain, beside = _branches(ends[0], made_by)
    if len(layers) != len(chain) + len(beside):
        raise BadInputError(f"it has {len(layers)} layers, of which {len(chain)} are in one chain")
    if spare := made_by.keys() - used - {*ends[0].outputs}:
        raise BadInputError(f"no layer takes {', '.join(sorted(spare))}")
    return chain


def _check(layer: NcnnLayer) -> None:
    free, must = FREE.get(layer.kind, set()), MUST.get(layer.kind, {})
    may = must | MAY.get(layer.kind, {})
    for key in [*must, *layer.settings]:
        if key in free:
            layer.number(key)
        elif key not in may or layer.number(key) != may[key]:
            is_ = layer.settings.get(key, "nothing")
            raise BadInputError(f"layer {layer.name} ({layer.kind}) has {key}={is_}")


def _branches(
    end: NcnnLayer, made_by: dict[str, NcnnLayer]
) -> tuple[list[NcnnLayer], list[NcnnLayer]]:
    """Convolutions and PReLUs up to the sum at the end, and the other layers of a Compact one."""
    branches = [_up(blob, made_by) for blob in end.inputs]
    branches.sort(key=len)
    if end.kind != "BinaryOp" or len(branches) != 2:
        raise BadInputError(f"it ends with {end.name} ({end.kind}), not with one sum")
    (*picture, resize), (*start, shuffle) = branches
    chain = start[len(picture) :]
    kinds = [layer.kind for layer in (*picture, resize, shuffle)]
    turns = ["Convolution", "PReLU"] * (len(chain) // 2) + ["Convolution"]
    if kinds != ["Input", "Split", "Interp", "PixelShuffle"] or start[: len(picture)] != picture:
        raise BadInputError(f"beside its chain it has {', '.join(kinds)}")
    if [layer.kind for layer in chain] != turns:
        raise BadInputError("its convolutions and PReLUs do not take turns")
    _check_scale(chain[-1], shuffle, resize)
    return chain, [*picture, resize, shuffle, end]


def _up(blob: str, made_by: dict[str, NcnnLayer]) -> list[NcnnLayer]:
    """The layers from the input to the one that makes a blob."""
    found: dict[int, NcnnLayer] = {}  # by identity: to compare layers takes their settings too
    while layer := made_by.get(blob):
        if id(layer) in found or len(layer.inputs) > 1:
            raise BadInputError(f"layer {layer.name} ({layer.kind}) joins branches")
        found[id(layer)] = layer
        if not layer.inputs:
            return list(reversed(found.values()))
        blob = layer.inputs[0]
    raise BadInputError(f"no layer makes {blob}")


def _check_scale(last: NcnnLayer, shuffle: NcnnLayer, resize: NcnnLayer) -> None:
    scale, wide, high = shuffle.number("0"), resize.number("1"), resize.number("2")
    channels = last.number("0")
    if scale < 1 or (wide, high, channels) != (scale, scale, 3 * scale**2):
        raise BadInputError(
            f"it shuffles by {scale:g}, enlarges the picture by {wide:g}x{high:g} and makes"
            f" {channels:g} channels"
        )
