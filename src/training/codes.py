"""Closed-form latents: principal components of a cell's pixels, and an encoder of the stock class that computes them.

A latent cell stands for S x S pixels of one frame, S = 2^(blocks - 1). The components are those of the cells of
rendered scenes, so that the whole encoder is a linear map with known weights: no descent, no epochs, and the
transformer can train on the final latents from its first step. Frame by frame, because a camera that moves costs
such codes nothing, where codes of several frames lose a decibel or two and jump from group to group.

Channels are scaled by the square root of their deviation: between whitening, which gives invisible detail the
weight of the picture's outline, and raw coefficients, where detail drowns in the sampler's noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor, nn

STEADY = 48.0  # constant channels that fix what group normalisation divides by
OPERATING_POINT = 6.0  # SiLU is a straight line there, within 2 % for codes within +-3 deviations
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
        """The pixels nearest to latents (B, K, F, h, w) by these components alone: (B, 3, F, h S, w S)."""
        codes = latents.transpose(1, 2).flatten(0, 1)
        cells = codes * _column(self.deviation / self.amplitude) + _column(self.mean)
        frames = F.conv_transpose2d(cells, self.basis.to(cells.dtype), stride=self.side)
        return frames.unflatten(0, (latents.shape[0], -1)).transpose(1, 2)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None]


def cells(pictures: Tensor, side: int) -> Tensor:
    """(N, 3, H, W) to each cell's pixels: (M, 3 * side * side), channel before row before column."""
    return F.unfold(pictures, side, stride=side).transpose(1, 2).flatten(0, 1)


def fit(pictures: Iterable[Tensor], channels: tuple[int, ...], latent_channels: int) -> LinearCodes:
    """Fit the codes to pictures, each (3, H, W) in -1..1, for an encoder of these block channels."""
    side = 2 ** (len(channels) - 1)
    pixels = torch.cat([cells(picture[None], side) for picture in pictures]).double()
    average = pixels.mean(0)
    variance, directions = torch.linalg.eigh((pixels - average).T @ (pixels - average) / len(pixels))
    basis = directions.flip(1)[:, :latent_channels].T
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
    deviation = variance.flip(0)[:latent_channels].clamp_min(1e-8).sqrt()
    return LinearCodes(
        basis.float().unflatten(1, (3, side, side)).contiguous(), (basis @ average).float(), deviation.float()
    )


@torch.no_grad()
def install(codes: LinearCodes, vae: AutoencoderKLCogVideoX) -> None:
    """Give the stock encoder, in place, the weights that compute `codes` as its posterior mean.

    Each step down but the last only folds 2x2 pixels into channels, which must be wide enough for all of them.
    Raises ValueError where they, or the codes with two constant channels a group, do not fit.
    """
    encoder = vae.encoder
    _silence_residuals(encoder)
    _pixels_into(encoder.conv_in.conv)
    for block in encoder.down_blocks:
        _widen(block)
    steps = [block.downsamplers[0].conv for block in encoder.down_blocks[:-1]]
    for level, convolution in enumerate(steps[:-1]):
        _fold_into(convolution, 3 * 4**level)
    places, steady = _layout(codes.mean.numel(), steps[-1].out_channels, encoder.norm_out)
    _codes_into(steps[-1], codes, places, steady)
    _read_out(encoder, codes, places, steady)


def _silence_residuals(encoder: nn.Module) -> None:
    """A residual branch that ends in zeros is the identity."""
    for name, module in encoder.named_modules():
        if name.endswith("conv2.conv"):
            module.weight.zero_()
            module.bias.zero_()


def _pixels_into(convolution: nn.Conv3d) -> None:
    """The three colours of a frame into the first three channels."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    for colour in range(3):
        convolution.weight[colour, colour, -1, 1, 1] = 1.0


def _widen(block: nn.Module) -> None:
    """Carry channels over unchanged where a block has more of them than the one before."""
    for resnet in block.resnets:
        if hasattr(resnet, "conv_shortcut"):
            resnet.conv_shortcut.weight.zero_()
            resnet.conv_shortcut.bias.zero_()
            for channel in range(min(resnet.in_channels, resnet.out_channels)):
                resnet.conv_shortcut.weight[channel, channel] = 1.0


def _fold_into(convolution: nn.Conv2d, count: int) -> None:
    """2x2 pixels of each of the first `count` channels into four channels, in the order of `pixel_unshuffle`.

    They are the first taps of a 3x3 convolution of stride two.
    """
    if 4 * count > convolution.out_channels:
        raise ValueError(f"{4 * count} folded pixels do not fit into {convolution.out_channels} channels")
    convolution.weight.zero_()
    convolution.bias.zero_()
    for channel in range(count):
        for place in range(4):
            convolution.weight[4 * channel + place, channel, place // 2, place % 2] = 1.0


def _layout(count: int, channels: int, norm: nn.GroupNorm) -> tuple[list[int], list[tuple[int, int]]]:
    """Bottleneck channels of the codes, spread over the groups, and each group's pair of constant channels.

    channels: how many the last step down gives; the groups beyond stay empty.
    """
    size = norm.num_channels // norm.num_groups
    groups = channels // size
    if count > groups * (size - 2):
        raise ValueError(f"{count} codes do not fit into {channels} channels in groups of {size}")
    places = [(k % groups) * size + 2 + k // groups for k in range(count)]
    return places, [(group * size, group * size + 1) for group in range(groups)]


def _codes_into(convolution: nn.Conv2d, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]) -> None:
    """Codes of mean 0 and deviation 1 at their places, +-STEADY at the constant channels."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    folded = codes.basis
    while folded.shape[-1] > 2:
        folded = F.pixel_unshuffle(folded, 2)
    for k, place in enumerate(places):
        convolution.weight[place, : folded.shape[1], :2, :2] = folded[k] / codes.deviation[k]
        convolution.bias[place] = -codes.mean[k] / codes.deviation[k]
    for up, down in steady:
        convolution.bias[up], convolution.bias[down] = STEADY, -STEADY


def _read_out(encoder: nn.Module, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]) -> None:
    """Undo the normalisation and the activation: linear around the operating point.

    Normalisation subtracts a group's mean from its codes and constants alike, so the constants tell it back.
    """
    norm, out = encoder.norm_out, encoder.conv_out.conv
    size = norm.num_channels // norm.num_groups
    spread = (2 * STEADY**2 / size + len(places) / len(steady) / size) ** 0.5
    norm.weight.fill_(spread)
    norm.bias.fill_(OPERATING_POINT)
    constants = torch.tensor(steady)
    norm.weight[constants] = 1.0
    out.weight.zero_()
    out.bias.zero_()
    out.bias[len(places) :] = POSTERIOR_LOGVAR
    point = torch.tensor([OPERATING_POINT])
    height = STEADY / spread
    for k, place in enumerate(places):
        scale = codes.amplitude[k] / _slope(point)
        up, down = steady[place // size]
        share = spread * codes.amplitude[k] / (_slope(point + height) + _slope(point - height))
        out.weight[k, place, -1, 1, 1] = scale
        out.weight[k, [up, down], -1, 1, 1] = -share
        level = scale * F.silu(point) - share * (F.silu(point + height) + F.silu(point - height))
        out.bias[k] = -level


def _slope(point: Tensor) -> Tensor:
    """The derivative of SiLU."""
    gate = torch.sigmoid(point)
    return gate * (1 + point * (1 - gate))
