"""Closed-form latents: the best linear codes of video blocks, and an encoder of the stock class that computes them.

A latent cell stands for 8x8 pixels of four frames (of one frame, for the first). What the stock encoder can
carry there linearly are three functions of time a pixel, because it averages frames in pairs after a causal
convolution: the mean of the four frames, their advance on the four before, and the change of that advance. Each
stage then keeps the combinations that predict the block's pixels best (reduced-rank regression; Izenman 1975),
so that the whole encoder is a linear map with known weights: no descent, no epochs, and the transformer can
train on the final latents from its first step. Its residual branches start at zero and stay trainable.

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
    """The linear map from pixels to latents. `stages` are the 2x2 maps (out, in, 2, 2) of the three steps down."""

    stages: tuple[Tensor, Tensor, Tensor]
    mean: Tensor
    """(K,) what the last stage gives on average."""
    deviation: Tensor
    """(K,) and by how much that varies, in descending order of use."""

    @property
    def amplitude(self) -> Tensor:
        """(K,) the deviation of each latent channel; mean square 1."""
        amplitude = self.deviation.sqrt()
        return amplitude / amplitude.square().mean().sqrt()

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, 4k + 1, H, W) in -1..1 to latents (B, K, k + 1, H / 8, W / 8), without posterior noise."""
        features = functions_of_time(video)
        batch, _, length = features.shape[:3]
        cells = features.transpose(1, 2).flatten(0, 1)
        for stage in self.stages:
            cells = F.conv2d(cells, stage.to(cells.dtype), stride=2)
        codes = (cells - self.mean[:, None, None]) / self.deviation[:, None, None]
        codes = codes * self.amplitude[:, None, None]
        return codes.unflatten(0, (batch, length)).transpose(1, 2)


def functions_of_time(video: Tensor) -> Tensor:
    """(B, C, 4k + 1, H, W) to (B, 3C, k + 1, H, W): mean, advance and change of advance of each group of frames.

    The first frame is a group of its own that has stood still before.
    """
    first, rest = video[:, :, :1], video[:, :, 1:]
    groups = rest.unflatten(2, (-1, 4))
    last = torch.cat([first, first, groups[:, :, :, 3]], dim=2)
    last_but_one = torch.cat([first, first, groups[:, :, :, 2]], dim=2)
    step = last - last_but_one
    mean = torch.cat([first, groups.mean(dim=3)], dim=2)
    return torch.cat([mean, last.diff(dim=2) / 4, step.diff(dim=2) / 4], dim=1)


def blocks(video: Tensor, side: int) -> Tensor:
    """(B, C, 4k + 1, H, W) to each cell's pixels: (N, C * 4 * side * side). The first frame counts four times."""
    frames = torch.cat([video[:, :, :1].expand(-1, -1, 4, -1, -1), video[:, :, 1:]], dim=2)
    cells = frames.unflatten(2, (-1, 4)).unflatten(5, (-1, side)).unflatten(4, (-1, side))
    return cells.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(0, 3)


def cell_features(features: Tensor) -> Tensor:
    """(B, C, T, H, W) to the four values of each 2x2 cell: (N, 4C), channel before row before column."""
    cells = features.unflatten(4, (-1, 2)).unflatten(3, (-1, 2))
    return cells.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(0, 3)


def best_combinations(features: Tensor, pixels: Tensor, count: int) -> Tensor:
    """Reduced-rank regression of pixels (N, P) on features (N, Q): the `count` best combinations, (count, Q)."""
    inputs, targets = features.double(), pixels.double()
    inputs, targets = inputs - inputs.mean(0), targets - targets.mean(0)
    gram = inputs.T @ inputs
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(gram.shape[0], dtype=gram.dtype)
    prediction = torch.linalg.solve(gram + ridge, inputs.T @ targets)
    spread = prediction.T @ gram @ prediction
    directions = torch.linalg.eigh(spread).eigenvectors.flip(1)[:, :count]
    return (prediction @ directions).T.float()


def fit(clips: Iterable[Tensor], channels: tuple[int, ...], latent_channels: int) -> LinearCodes:
    """Fit the codes to clips, each (1, 3, 4k + 1, H, W) in -1..1, for an encoder of these block channels."""
    videos = list(clips)
    features = [functions_of_time(video) for video in videos]
    stages = []
    for level, width in enumerate((channels[0], channels[1], latent_channels)):
        inputs = torch.cat([cell_features(each) for each in features])
        targets = torch.cat([blocks(video, 2 ** (level + 1)) for video in videos])
        kept = min(width, inputs.shape[1])
        stage = best_combinations(inputs, targets, kept).unflatten(1, (-1, 2, 2))
        stages.append(stage)
        features = [_down(each, stage) for each in features]
    codes = torch.cat([each.transpose(0, 1).flatten(1) for each in features], dim=1)
    return LinearCodes(tuple(stages), codes.mean(1), codes.std(1).clamp_min(1e-4))


def _down(features: Tensor, stage: Tensor) -> Tensor:
    cells = features.transpose(1, 2).flatten(0, 1)
    return F.conv2d(cells, stage, stride=2).unflatten(0, (features.shape[0], -1)).transpose(1, 2)


@torch.no_grad()
def install(codes: LinearCodes, vae: AutoencoderKLCogVideoX) -> None:
    """Give the stock encoder, in place, the weights that compute `codes` as its posterior mean.

    Its channels must be at least 9 at full resolution, and at the bottleneck enough for the latent channels and
    two constant ones a group.
    """
    encoder = vae.encoder
    _silence_residuals(encoder)
    _functions_of_time_into(encoder.conv_in.conv)
    for block, stage in zip(encoder.down_blocks[:2], codes.stages[:2], strict=True):
        _widen(block)
        _step_down_into(block.downsamplers[0].conv, stage)
    _widen(encoder.down_blocks[2])
    places, steady = _layout(codes.mean.numel(), encoder.norm_out)
    last = encoder.down_blocks[2].downsamplers[0].conv
    _codes_into(last, codes, places, steady)
    _widen(encoder.down_blocks[3])
    _read_out(encoder, codes, places, steady)


def _silence_residuals(encoder: nn.Module) -> None:
    """A residual branch that ends in zeros is the identity, and learns from there."""
    for name, module in encoder.named_modules():
        if name.endswith("conv2.conv"):
            module.weight.zero_()
            module.bias.zero_()


def _functions_of_time_into(convolution: nn.Conv3d) -> None:
    """Taps at t - 2, t - 1 and t; the mean over four frames is what the pooling after it does."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    for order, taps in enumerate(((0.0, 0.0, 1.0), (0.0, -1.0, 1.0), (1.0, -2.0, 1.0))):
        for colour in range(3):
            convolution.weight[3 * order + colour, colour, :, 1, 1] = torch.tensor(taps)


def _widen(block: nn.Module) -> None:
    """Carry channels over unchanged where a block has more of them than the one before."""
    for resnet in block.resnets:
        if hasattr(resnet, "conv_shortcut"):
            resnet.conv_shortcut.weight.zero_()
            resnet.conv_shortcut.bias.zero_()
            for channel in range(min(resnet.in_channels, resnet.out_channels)):
                resnet.conv_shortcut.weight[channel, channel] = 1.0


def _step_down_into(convolution: nn.Conv2d, stage: Tensor) -> None:
    """A 2x2 map in the first taps of a 3x3 convolution of stride two."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    convolution.weight[: stage.shape[0], : stage.shape[1], :2, :2] = stage


def _layout(count: int, norm: nn.GroupNorm) -> tuple[list[int], list[tuple[int, int]]]:
    """Bottleneck channels of the codes, spread over the groups, and each group's pair of constant channels."""
    size = norm.num_channels // norm.num_groups
    if count > norm.num_groups * (size - 2):
        raise ValueError(f"{count} codes do not fit into {norm.num_channels} channels of {norm.num_groups} groups")
    places = [(k % norm.num_groups) * size + 2 + k // norm.num_groups for k in range(count)]
    return places, [(group * size, group * size + 1) for group in range(norm.num_groups)]


def _codes_into(convolution: nn.Conv2d, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]) -> None:
    """Codes of mean 0 and deviation 1 at their places, +-STEADY at the constant channels."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    stage = codes.stages[2]
    for k, place in enumerate(places):
        convolution.weight[place, : stage.shape[1], :2, :2] = stage[k] / codes.deviation[k]
        convolution.bias[place] = -codes.mean[k] / codes.deviation[k]
    for up, down in steady:
        convolution.bias[up], convolution.bias[down] = STEADY, -STEADY


def _read_out(encoder: nn.Module, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]) -> None:
    """Undo the normalisation and the activation: linear around the operating point.

    Normalisation subtracts a group's mean from its codes and constants alike, so the constants tell it back.
    """
    norm, out = encoder.norm_out, encoder.conv_out.conv
    size = norm.num_channels // norm.num_groups
    spread = (2 * STEADY**2 / size + len(places) / norm.num_channels) ** 0.5
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
        out.weight[k, place, 2, 1, 1] = scale
        out.weight[k, [up, down], 2, 1, 1] = -share
        level = scale * F.silu(point) - share * (F.silu(point + height) + F.silu(point - height))
        out.bias[k] = -level


def _slope(point: Tensor) -> Tensor:
    """The derivative of SiLU."""
    gate = torch.sigmoid(point)
    return gate * (1 + point * (1 - gate))
