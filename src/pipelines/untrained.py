"""The parts of a family from their configurations alone, by the classes that they are of."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from src.pipelines.family import Part
from src.pipelines.sides import Architecture


def build_parts(parts: tuple[Part, ...], architecture: Architecture) -> dict[str, nn.Module]:
    """Those of the parts that the architecture has, as `Counting.build_parts`."""
    return {
        part.name: _build(part.classes[0], architecture[part.name])
        for part in parts
        if part.name in architecture
    }


def _build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A class of diffusers or transformers, untrained."""
    import diffusers
    import transformers

    if hasattr(diffusers, kind):
        return getattr(diffusers, kind).from_config(dict(config))
    made = getattr(transformers, kind)
    return made(made.config_class(**config))
