"""The parts of a family from their configurations alone, by the classes that they are of."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from src.pipelines.classes import class_named
from src.pipelines.family import Part
from src.pipelines.sides import Architecture


def untrained_parts(parts: tuple[Part, ...], architecture: Architecture) -> dict[str, nn.Module]:
    """Those of the parts that the architecture has, as `Counting.build_parts`."""
    return {
        part.name: _build(part.classes[0], architecture[part.name])
        for part in parts
        if part.name in architecture
    }


def _build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A class of diffusers or transformers, untrained."""
    made = class_named(kind)
    if hasattr(made, "from_config"):
        return made.from_config(dict(config))
    return made(made.config_class(**config))
