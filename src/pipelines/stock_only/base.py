"""What families without a loop of our own share: their stock pipeline, and that the rest is
refused by name. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.family_defaults import FamilyDefaults
from src.pipelines.sides import (
    Counting,
    Loop,
    Pipe,
    Stock,
    StockStages,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


class StockOnly(FamilyDefaults, ABC):
    """A family of which only the stock pipeline runs.

    A subclass says its names and parts, `describe`, `timesteps`, `stock_arguments` and `stages`.
    """

    name: str
    title: str
    pipeline: str
    """The class of diffusers that makes a clip of a photograph."""
    pipelines: tuple[str, ...]
    parts: tuple[Part, ...]
    others: Mapping[str, tuple[str, ...]]
    modes: tuple[str, ...] = ("baseline",)
    schedulers: tuple[str, ...] = ()
    lora_targets: tuple[str, ...] = ()

    @abstractmethod
    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec: ...

    @abstractmethod
    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps: ...

    @abstractmethod
    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """As `Stock.stock_arguments`."""

    @abstractmethod
    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        """What its pipeline does of one clip, as `Counting.stages`; imports torch when called."""

    def spec_of(self, folder: Path, native: Size, **facts: Any) -> ModelSpec:
        """The spec of a folder that makes clips of this size; facts: its other fields."""
        return ModelSpec(
            id=folder.resolve().name,
            family=self.name,
            folder=str(folder.resolve()),
            native=native,
            delivered=native,
            licence="see the folder's own card",
            **{"description": f"diffusers folder {folder.name}", **facts},
        )

    @property
    def stock(self) -> Stock:
        return StockPipeline(self)

    @property
    def loop(self) -> Loop:
        raise BadInputError(f"{self.title} has no loop of ours; it runs with --mode baseline")

    @property
    def counting(self) -> Counting:
        from src.pipelines.stock_only.counting import StockCounting

        return StockCounting(self.parts, self.stages)


class StockPipeline:
    """The stock side of such a family (`src.pipelines.sides.Stock`)."""

    def __init__(self, family: StockOnly) -> None:
        self.family = family

    def load(
        self, folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]
    ) -> Pipe:
        from src.pipelines.stock_loading import load_stock

        return load_stock(self.family.pipeline, self.family.parts, folder, dtype, parts, read)

    def make_scheduler(self, stock: Any, plan: Plan, device: str) -> Any:
        made = type(stock).from_config(stock.config)
        made.set_timesteps(plan.num_inference_steps, device=device)
        return made

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        return self.family.stock_arguments(plan)


def words(plan: Plan) -> dict[str, Any]:
    """The prompts, as stock pipelines take them."""
    return {"prompt": plan.prompt, "negative_prompt": plan.negative_prompt or None}
