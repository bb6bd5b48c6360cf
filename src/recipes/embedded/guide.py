"""Training aids: the transformer is asked where a token's picture comes from, and heads are shown.

In a rendered scene it is known where every token's picture lay in the first frame. Two things are
taught of it, and dropped before the training ends; neither is part of the pipeline.

* **Bearings.** A linear read-out of the tokens, after a few blocks, tells the way to that place as
  rotary positions tell it, and by what part of a token it lies beside the photograph's own. What is
  read linearly is what attention can look for and a gated feed-forward can shift by.
* **Corners.** The four tokens of the photograph around that place hold what the token shows: above
  and left of it, above and right, below and left, below and right. Four heads of a block get one of
  them each, and cross-entropy pulls their attention there.

Left to the pixels alone, whole tokens are copied after 700 steps, and not yet shifted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows below and columns right of the first token around a place, a guided head each."""
SLACK = 1e-3
"""Of a token: a place that rounding puts just above or left of a token is on it."""
TURNS = (*(10000 ** (-k / 12) for k in range(5)), math.pi, 2 * math.pi, 4 * math.pi)
"""Radians a token, of the bearings: the quickest rotary ones of heads 64 wide, then what comes
round with every second token, every token and every half.
"""
BEARINGS = 2 * (2 * len(TURNS) + 2)
"""Numbers that a token's bearings are told in."""


def sources(motions: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Where the middles of the tokens lay in the first frame, as the camera moves: (..., rows *
    columns, 2).

    motions: (..., 2, 3), from pixels of the first frame to those of this one. In tokens, column
    before row; 0 is the middle of the first token. grid: rows and columns. side: pixels a token is
    wide and high.
    """
    middles = own_places(grid, motions.device) * side + (side - 1) / 2
    back = torch.linalg.inv_ex(motions[..., :2]).inverse  # asks no card whether there is one
    shifted = middles - motions[..., None, :, 2]
    return ((shifted @ back.mT) - (side - 1) / 2) / side


def own_places(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Every token's own place: (rows * columns, 2), column before row."""
    rows, columns = torch.meshgrid(
        torch.arange(grid[0], device=device), torch.arange(grid[1], device=device), indexing="ij"
    )
    return torch.stack([columns, rows], dim=-1).flatten(0, 1).float()


def inside(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """Which places (..., 2) lie on the photograph: (...,) bool."""
    column, row = places.unbind(-1)
    return (row > -0.5) & (row < grid[0] - 0.5) & (column > -0.5) & (column < grid[1] - 0.5)


def bearings(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """The way from each token to its source: (..., rows * columns, BEARINGS).

    places: (..., T, rows * columns, 2), one for each of a token's T frames. Sine and cosine of the
    way to their mean by TURNS, the way itself in tens of tokens, and how far the source wanders
    over the frames.
    """
    way = places.mean(dim=-3) - own_places(grid, places.device)
    turned = way[..., None] * way.new_tensor(TURNS)
    wander = places[..., -1, :, :] - places[..., 0, :, :]
    told = [turned.cos().flatten(-2), turned.sin().flatten(-2), way / 10, wander]
    return torch.cat(told, dim=-1)


def around(places: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The photograph's four tokens around places (..., 2), and which places lie inside the picture.

    Returns (..., 4) int64 in the order of CORNERS, row after row, and (...,) bool. Beyond an edge
    its own tokens stand.
    """
    column, row = places.unbind(-1)
    top, left = (row + SLACK).floor().long(), (column + SLACK).floor().long()
    tokens = [
        (top + below).clamp(0, grid[0] - 1) * grid[1] + (left + right).clamp(0, grid[1] - 1)
        for below, right in CORNERS
    ]
    return torch.stack(tokens, dim=-1), inside(places, grid)


@dataclass
class BlockInputs:
    """What a block was given in the last forward pass: tokens (B, V, D), text (B, T, D), time
    embedding (B, E), and the tokens' rotary positions, (V, head) twice.
    """

    tokens: Tensor
    text: Tensor
    time: Tensor
    rotary: tuple[Tensor, Tensor]


class Guide:
    """Watches some blocks of a transformer, and says how far they are from what they are taught.

    blocks: heads of each are shown the corners; what goes into the first of them is what bearings
    are read from. queries: tokens of a clip whose heads are asked each time. grid: rows and columns
    of tokens. Blocks may be compiled: what is watched is their input, and queries and keys are
    computed once more.
    """

    def __init__(self, blocks: Sequence[nn.Module], queries: int, grid: tuple[int, int]) -> None:
        self.blocks, self.queries, self.grid = list(blocks), queries, grid
        self.watching = False
        self._seen: dict[nn.Module, BlockInputs] = {}
        for block in self.blocks:
            block.register_forward_pre_hook(self._watch, with_kwargs=True)

    def _watch(self, block: nn.Module, args: tuple, inputs: dict[str, Any]) -> None:
        if not self.watching:
            return
        given = inputs | dict(zip(ARGUMENTS, args, strict=False))
        self._seen[block] = BlockInputs(*(given[name] for name in ARGUMENTS))

    def bearings_off(self, read_out: nn.Module, places: Tensor, told: Tensor) -> Tensor:
        """The mean squared error of the bearings that `read_out` tells; prompts that tell no move
        do not count.

        places: (B, G, T, tokens, 2), the photograph's token frame first. told: (B,) bool.
        """
        wanted = bearings(places[:, 1:], self.grid).flatten(1, 2)
        tokens = self._seen[self.blocks[0]].tokens[:, -wanted.shape[1] :].float()
        found = read_out(F.layer_norm(tokens, tokens.shape[-1:]))
        return _mean_of((found - wanted).square().mean(dim=-1), told[:, None])

    def corners_missed(self, places: Tensor, told: Tensor, generator: torch.Generator) -> Tensor:
        """The mean cross-entropy of the guided heads, in nats; arguments as `bearings_off`."""
        others = places[:, 1:].mean(dim=2).flatten(1, 2)
        drawn = torch.randperm(others.shape[1], generator=generator)[: self.queries]
        drawn = drawn.to(places.device)
        wanted, shown = around(others[:, drawn], self.grid)
        counted = shown & told[:, None]
        losses = [self._missed(block, drawn, wanted, counted) for block in self.blocks]
        return torch.stack(losses).mean()

    def _missed(self, block: nn.Module, drawn: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
        query, key, words = _queries_and_keys(block, self._seen[block])
        own = self.grid[0] * self.grid[1]
        asked = query[:, :, words + own :][:, :, drawn]
        attention = (asked @ key.transpose(2, 3) / key.shape[-1] ** 0.5).log_softmax(-1)
        missed = -attention.gather(3, (wanted + words).transpose(1, 2)[..., None])[..., 0]
        return _mean_of(missed.mean(dim=1), counted)

    def forget(self) -> None:
        """Let go of the last forward pass."""
        self._seen.clear()


def _mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of those that count, 0 where none does."""
    counted = counted.expand_as(values)
    return (values * counted).sum() / counted.sum().clamp_min(1)


ARGUMENTS = ("hidden_states", "encoder_hidden_states", "temb", "image_rotary_emb")
"""Of a block's forward, in their order."""


def _queries_and_keys(block: nn.Module, seen: BlockInputs) -> tuple[Tensor, Tensor, int]:
    """Of the guided heads, as the block's attention computes them, in float32: (B, 4, T + V, D)
    each; and T, the text's tokens.
    """
    attention, words = block.attn1, seen.text.shape[1]
    parts = (part.float() for part in (seen.tokens, seen.text, seen.time))
    tokens, text, *_ = block.norm1(*parts)
    joined = torch.cat([text, tokens], dim=1)
    query, key = (
        part.unflatten(2, (attention.heads, -1)).transpose(1, 2)[:, : len(CORNERS)]
        for part in (attention.to_q(joined), attention.to_k(joined))
    )
    turned = [
        torch.cat([part[:, :, :words], apply_rotary_emb(part[:, :, words:], seen.rotary)], dim=2)
        for part in (attention.norm_q(query), attention.norm_k(key))
    ]
    return turned[0], turned[1], words
