"""Latents as the transformer takes them: a token for each cell, frames before rows before
columns."""

from torch import Tensor

Grid = tuple[int, int, int]
"""Latent frames, height and width."""


def packed(latents: Tensor) -> Tensor:
    """(B, C, F, h, w) to (B, F h w, C)."""
    return latents.flatten(2).transpose(1, 2)


def unpacked(tokens: Tensor, grid: Grid) -> Tensor:
    """(B, F h w, C) to (B, C, F, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, grid)
