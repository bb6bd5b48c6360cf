"""Counting a family that runs as diffusers has it."""

from collections.abc import Callable, Mapping

from torch import nn

from src.catalog.spec import ModelSpec
from src.pipelines.family import Part
from src.pipelines.sides import Architecture, StockStages
from src.pipelines.untrained import untrained_parts

Stages = Callable[[ModelSpec, Mapping[str, nn.Module]], StockStages]
"""What a family's pipeline does of one clip."""


class StockCounting:
    """The side `src.pipelines.sides.Counting` of such a family."""

    def __init__(self, parts: tuple[Part, ...], stages: Stages) -> None:
        self.parts, self._stages = parts, stages

    def build_parts(self, architecture: Architecture) -> dict[str, nn.Module]:
        return untrained_parts(self.parts, architecture)

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        return self._stages(spec, parts)
