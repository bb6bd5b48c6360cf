"""Closed-form latents: principal components of a cell's pixels. `Small.install` makes a stock
encoder compute them.

A latent cell stands for S x S pixels of one frame, S = 2^(blocks - 1). The components are those of
the cells of rendered scenes, so that the whole encoder is a linear map with known weights: no
descent, no epochs, and the transformer can train on the final latents from its first step. Frame by
frame, because a camera that moves costs such codes nothing, where codes of several frames lose a
decibel or two and jump from group to group.

Channels are scaled by the square root of their deviation: between whitening, which gives invisible
detail the weight of the picture's outline, and raw coefficients, where detail drowns in the
sampler's noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

POSTERIOR_LOGVAR = -9.0


@dataclass(frozen=True)
class LinearCodes:
    """The linear map from pixels to latents."""

    basis: Tensor
    """(K, 3, S, S) orthonormal components of a cell's pixels, by descending variance."""
    mean: Tensor
    """(K,) the components of the average cell."""
    deviation: Tensor
    """(K,) and by how much each varies."""

    @property
    def side(self) -> int:
        """Pixels a cell is wide and high."""
        return self.basis.shape[-1]

    @property
    def amplitude(self) -> Tensor:
        """(K,) the deviation of each latent channel; mean square 1."""
        amplitude = self.deviation.sqrt()
        return amplitude / amplitude.square().mean().sqrt()

    def to(self, device: torch.device) -> LinearCodes:
        """The same codes on a device."""
        return LinearCodes(self.basis.to(device), self.mean.to(device), self.deviation.to(device))

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, F, H, W) in -1..1 to latents (B, K, F, H / S, W / S), without posterior noise."""
        frames = video.transpose(1, 2).flatten(0, 1)
        cells = F.conv2d(frames, self.basis.to(frames.dtype), stride=self.side)
        codes = (cells - _column(self.mean)) / _column(self.deviation / self.amplitude)
        return codes.unflatten(0, (video.shape[0], -1)).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels nearest to latents (B, K, F, h, w) by these components alone: (B, 3, F, h S, w
        S).
        """
        codes = latents.transpose(1, 2).flatten(0, 1)
        cells = codes * _column(self.deviation / self.amplitude) + _column(self.mean)
        frames = F.conv_transpose2d(cells, self.basis.to(cells.dtype), stride=self.side)
        return frames.unflatten(0, (latents.shape[0], -1)).transpose(1, 2)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None]


def cells(pictures: Tensor, side: int) -> Tensor:
    """(N, 3, H, W) to each cell's pixels: (M, 3 * side * side),
    channel before row before column.
    """
    return F.unfold(pictures, side, stride=side).transpose(1, 2).flatten(0, 1)


def fit_codes(
    pictures: Iterable[Tensor], channels: tuple[int, ...], latent_channels: int
) -> LinearCodes:
    """Fit the codes to pictures, each (3, H, W) in -1..1,
    for an encoder of these block channels.
    """
    side = 2 ** (len(channels) - 1)
    pixels = torch.cat([cells(picture[None], side) for picture in pictures]).double()
    average = pixels.mean(0)
    variance, directions = torch.linalg.eigh(
        (pixels - average).T @ (pixels - average) / len(pixels)
    )
    basis = directions.flip(1)[:, :latent_channels].T
    # eigenvectors have no sign of their own
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)
    deviation = variance.flip(0)[:latent_channels].clamp_min(1e-8).sqrt()
    return LinearCodes(
        basis.float().unflatten(1, (3, side, side)).contiguous(),
        (basis @ average).float(),
        deviation.float(),
    )
