"""Heads that are shown where to look: at the tokens of the photograph that a token's picture comes
from.

In a rendered scene it is known where every token's picture lay in the first frame. The four tokens
of the photograph around that place hold what the token shows: above and left of it, above and
right, below and left, below and right. Four heads of a block get one of them each, and
cross-entropy pulls their attention there. Left to the pixels alone, attention finds these places
thousands of steps later. The guide is part of training and of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows below and columns right of the first token around a place, a guided head each."""
SLACK = 1e-3
"""Of a token: a place that rounding puts just above or left of a token is on it."""


def sources(motions: np.ndarray, grid: tuple[int, int], side: int) -> Tensor:
    """Where the middles of the tokens lay in the first frame, as the camera moves: (G, rows *
    columns, 2) float32.

    motions: (G, patch_t, 2, 3), from pixels of the first frame to those of each frame that a token
    frame holds; the mean of its frames counts. In tokens, column before row; 0 is the middle of the
    first token. grid: rows and columns. side: pixels a token is wide and high.
    """
    rows, columns = np.mgrid[: grid[0], : grid[1]]
    middles = np.stack([columns, rows], axis=-1).reshape(-1, 2) * side + (side - 1) / 2
    back = np.linalg.inv(motions[..., :2])
    shifted = middles - motions[..., None, :, 2]
    places = np.einsum("gfij,gfnj->gfni", back, shifted).mean(axis=1)
    return torch.from_numpy((places - (side - 1) / 2) / side).float()


def around(places: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The photograph's four tokens around places (..., 2), and which places lie inside the picture.

    Returns (..., 4) int64 in the order of CORNERS, row after row, and (...,) bool. Beyond an edge
    its own tokens stand.
    """
    column, row = places.unbind(-1)
    inside = (row > -0.5) & (row < grid[0] - 0.5) & (column > -0.5) & (column < grid[1] - 0.5)
    top, left = (row + SLACK).floor().long(), (column + SLACK).floor().long()
    tokens = [
        (top + below).clamp(0, grid[0] - 1) * grid[1] + (left + right).clamp(0, grid[1] - 1)
        for below, right in CORNERS
    ]
    return torch.stack(tokens, dim=-1), inside


@dataclass
class Seen:
    """What a block was given in the last forward pass: tokens (B, V, D), text (B, T, D), time
    embedding (B, E), and the tokens' rotary positions, (V, head) twice.
    """

    tokens: Tensor
    text: Tensor
    time: Tensor
    rotary: tuple[Tensor, Tensor]


class AttentionGuide:
    """Watches some blocks of a transformer and says how far their first four heads look from where
    they should.

    blocks: their numbers. queries: tokens of a clip that are asked each time. grid: rows and
    columns of tokens. Blocks may be compiled: what is watched is their input, and queries and keys
    are computed once more.
    """

    def __init__(self, blocks: Sequence[nn.Module], queries: int, grid: tuple[int, int]) -> None:
        self.blocks, self.queries, self.grid = list(blocks), queries, grid
        self.watching = False
        self._seen: dict[nn.Module, Seen] = {}
        for block in self.blocks:
            block.register_forward_pre_hook(self._watch, with_kwargs=True)

    def _watch(self, block: nn.Module, args: tuple, inputs: dict[str, Any]) -> None:
        if not self.watching:
            return
        given = inputs | dict(zip(ARGUMENTS, args, strict=False))
        self._seen[block] = Seen(*(given[name] for name in ARGUMENTS))

    def loss(self, places: Tensor, told: Tensor, generator: torch.Generator) -> Tensor:
        """The mean cross-entropy of guided heads, in nats; prompts that tell no move do not count.

        places: (B, G, tokens, 2), the photograph's token frame first, as `sources` gives them.
        told: (B,) bool.
        """
        others = places[:, 1:].flatten(1, 2)
        drawn = torch.randperm(others.shape[1], generator=generator)[: self.queries]
        drawn = drawn.to(places.device)
        wanted, inside = around(others[:, drawn], self.grid)
        counted = inside & told[:, None]
        losses = [self._loss(block, drawn, wanted, counted) for block in self.blocks]
        return torch.stack(losses).mean()

    def _loss(self, block: nn.Module, drawn: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
        query, key, words = _queries_and_keys(block, self._seen.pop(block))
        own = self.grid[0] * self.grid[1]
        asked = query[:, :, words + own :][:, :, drawn]
        attention = (asked @ key.transpose(2, 3) / key.shape[-1] ** 0.5).log_softmax(-1)
        missed = -attention.gather(3, (wanted + words).transpose(1, 2)[..., None])[..., 0]
        return (missed * counted[:, None]).sum() / (counted.sum() * len(CORNERS)).clamp_min(1)


ARGUMENTS = ("hidden_states", "encoder_hidden_states", "temb", "image_rotary_emb")
"""Of a block's forward, in their order."""


def _queries_and_keys(block: nn.Module, seen: Seen) -> tuple[Tensor, Tensor, int]:
    """Of the guided heads, as the block's attention computes them, in float32: (B, 4, T + V, D)
    each; and T, the text's tokens.
    """
    attention, words = block.attn1, seen.text.shape[1]
    tokens, text, *_ = block.norm1(seen.tokens, seen.text, seen.time)
    joined = torch.cat([text, tokens], dim=1)
    query, key = (
        part.unflatten(2, (attention.heads, -1)).transpose(1, 2)[:, : len(CORNERS)]
        for part in (attention.to_q(joined), attention.to_k(joined))
    )
    turned = [
        torch.cat([part[:, :, :words], apply_rotary_emb(part[:, :, words:], seen.rotary)], dim=2)
        for part in (attention.norm_q(query).float(), attention.norm_k(key).float())
    ]
    return turned[0], turned[1], words
