"""The recipe `upscaler`: a video network learns to undo shrinking, noise and coding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from src.recipes.upscaler.data import PairDataset, batches_from
from src.recipes.upscaler.losses import UpscalerLoss
from src.recipes.upscaler.settings import UpscalerSettings
from src.training.recipe import Recipe
from src.upscaling.network import build_network
from src.upscaling.presets import network_spec


class UpscalerRecipe(Recipe):
    """See `src.training.recipe.Recipe`."""

    def __init__(self, settings: UpscalerSettings) -> None:
        torch.manual_seed(settings.seed)
        self.name = f"upscaler {settings.preset} {settings.scale}x"
        self.model = build_network(network_spec(settings.preset, settings.scale))
        self.criterion = UpscalerLoss(settings.losses)
        self.dataset = PairDataset(settings)
        self._batches: Iterator[dict[str, Tensor]] = iter(())
        self._next = -1

    def batch(self, step: int) -> dict[str, Tensor]:
        """The pairs of `step`; asked for in order, they stream from one DataLoader."""
        if step != self._next:
            self._batches = batches_from(self.dataset, step)
        self._next = step + 1
        return next(self._batches)

    def close(self) -> None:
        """End the DataLoader's processes now; the interpreter's end would meet them half taken
        down.
        """
        self._batches, self._next = iter(()), -1

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        made = self.model(batch["low"], batch["condition"])
        return self.criterion(made, batch["high"])
