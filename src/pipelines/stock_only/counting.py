"""The parts of a family that runs as diffusers has it, from their configurations alone."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from src.catalog.spec import ModelSpec
from src.pipelines.family import Part
from src.pipelines.sides import Architecture, StockStages

Stages = Callable[[ModelSpec, Mapping[str, nn.Module]], StockStages]
"""What a family's pipeline does of one clip."""


class StockCounting:
    """Counting of a family that runs as diffusers has it (`src.pipelines.sides.Counting`)."""

    def __init__(self, parts: tuple[Part, ...], stages: Stages) -> None:
        self.parts, self._stages = parts, stages

    def build_parts(self, architecture: Architecture) -> dict[str, nn.Module]:
        return {
            part.name: _build(part.classes[0], architecture[part.name])
            for part in self.parts
            if part.name in architecture
        }

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        return self._stages(spec, parts)


def _build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A class of diffusers or transformers, untrained."""
    import diffusers
    import transformers

    if hasattr(diffusers, kind):
        return getattr(diffusers, kind).from_config(dict(config))
    made = getattr(transformers, kind)
    return made(made.config_class(**config))
