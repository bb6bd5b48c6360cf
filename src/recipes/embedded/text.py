"""The recipe `embedded`, stage `text`: which move a prompt names."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.recipes.embedded.parts import CPU, PreparedParts, drawn_length, token_ids, without_move
from src.recipes.embedded.settings import EmbeddedSettings, TextStage
from src.scenes.moves import PAN, PUSH, ROLL, TILT, Move
from src.scenes.sampler import SceneSampler
from src.training.recipe import Recipe


class NamingMoves(nn.Module):
    """The text encoder with a linear read-out of the move from the mean of its tokens."""

    def __init__(self, text_encoder: nn.Module, answers: int) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        with torch.random.fork_rng([]):  # the same in every run
            torch.manual_seed(0)
            self.read_out = nn.Linear(text_encoder.config.d_model, answers)

    def forward(self, ids: Tensor) -> Tensor:
        return self.read_out(self.text_encoder(ids)[0].mean(dim=1))


class TextRecipe(Recipe):
    """Prompts to moves: mean squared error of pan, tilt, push and roll, each in units of its medium
    speed.

    The read-out is thrown away. What stays is a text encoder that tells moves and speeds apart
    before the transformer learns to carry them out; trained together from nothing, the prompts
    collapsed to one embedding.
    """

    name = "text"

    def __init__(
        self,
        prepared: PreparedParts,
        stage: TextStage,
        settings: EmbeddedSettings,
        device: torch.device = CPU,
    ) -> None:
        self.prepared, self.stage, self.seed = prepared, stage, settings.seed + 3
        self.sampler = SceneSampler(prepared.blueprint.width, prepared.blueprint.height, self.seed)
        self.model = NamingMoves(prepared.pipeline.text_encoder, 5)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Token ids (B, S) and the moves they name (B, 5); every tenth caption is dropped or a list
        of flaws.
        """
        count = self.stage.prompts
        drawn = [self.sampler.wording(step * count + k) for k in range(count)]
        random = np.random.default_rng([self.seed, 8, step])
        kept = random.random(count) >= 0.1
        prompts = [
            text if keep else without_move(random)
            for (_, text), keep in zip(drawn, kept, strict=True)
        ]
        moves = [
            amounts(move) if keep else (0.0,) * 5
            for (move, _), keep in zip(drawn, kept, strict=True)
        ]
        ids = token_ids(self.prepared, prompts, drawn_length(self.stage.long_text, random))
        return ids, torch.tensor(moves, dtype=torch.float32)

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        ids, moves = batch
        return F.mse_loss(self.model(ids).float(), moves)

    def close(self) -> None:
        """Nothing runs beside: no picture is drawn."""


def amounts(move: Move) -> tuple[float, ...]:
    """Pan, tilt, push and roll in units of the medium speed,
    and 1 for a camera that moves by hand.
    """
    return (
        move.pan / PAN,
        move.tilt / TILT,
        move.push / PUSH,
        move.roll / ROLL,
        float(move.handheld > 0),
    )
