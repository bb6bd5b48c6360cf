"""The weights of parts, from their configurations alone; what a clip needs beside them is not
counted."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from src.catalog.spec import ModelSpec
from src.pipelines.family import Part
from src.pipelines.sides import Architecture


class PartsAlone:
    """Counting of a family that runs as diffusers has it (`src.pipelines.sides.Counting`)."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts

    def build_parts(self, architecture: Architecture) -> dict[str, nn.Module]:
        return {
            part.name: _build(part.classes[0], architecture[part.name])
            for part in self.parts
            if part.name in architecture
        }

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> None:
        return None


def _build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A class of diffusers or transformers, untrained."""
    import diffusers
    import transformers

    if hasattr(diffusers, kind):
        return getattr(diffusers, kind).from_config(dict(config))
    made = getattr(transformers, kind)
    return made(made.config_class(**config))
