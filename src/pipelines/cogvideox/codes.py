"""Linear codes in the stock encoder: the weights with which it computes them."""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from src.pipelines.linear_codes import POSTERIOR_LOGVAR, LinearCodes

STEADY = 48.0  # constant channels that fix what group normalisation divides by
OPERATING_POINT = 6.0  # SiLU is a straight line there, within 2 % for codes within +-3 deviations


@torch.no_grad()
def install(codes: LinearCodes, vae: AutoencoderKLCogVideoX) -> None:
    """Give the stock encoder, in place, the weights that compute `codes` as its posterior mean.

    Each step down but the last only folds 2x2 pixels into channels, which must be wide enough for
    all of them.
    Raises ValueError where they, or the codes with two constant channels a group, do not fit.
    """
    encoder: Any = vae.encoder
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


def _silence_residuals(encoder: Any) -> None:
    """A residual branch that ends in zeros is the identity."""
    for name, module in encoder.named_modules():
        if name.endswith("conv2.conv"):
            module.weight.zero_()
            module.bias.zero_()


def _pixels_into(convolution: Any) -> None:
    """The three colours of a frame into the first three channels."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    for colour in range(3):
        convolution.weight[colour, colour, -1, 1, 1] = 1.0


def _widen(block: Any) -> None:
    """Carry channels over unchanged where a block has more of them than the one before."""
    for resnet in block.resnets:
        if hasattr(resnet, "conv_shortcut"):
            resnet.conv_shortcut.weight.zero_()
            resnet.conv_shortcut.bias.zero_()
            for channel in range(min(resnet.in_channels, resnet.out_channels)):
                resnet.conv_shortcut.weight[channel, channel] = 1.0


def _fold_into(convolution: Any, count: int) -> None:
    """2x2 pixels of each of the first `count` channels into four channels, in the order of
    `pixel_unshuffle`.

    They are the first taps of a 3x3 convolution of stride two.
    """
    if 4 * count > convolution.out_channels:
        raise ValueError(
            f"{4 * count} folded pixels do not fit into {convolution.out_channels} channels"
        )
    convolution.weight.zero_()
    convolution.bias.zero_()
    for channel in range(count):
        for place in range(4):
            convolution.weight[4 * channel + place, channel, place // 2, place % 2] = 1.0


def _layout(count: int, channels: int, norm: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """Bottleneck channels of the codes, spread over the groups, and each group's pair of constant
    channels.

    channels: how many the last step down gives; the groups beyond stay empty.
    """
    size = norm.num_channels // norm.num_groups
    groups = channels // size
    if count > groups * (size - 2):
        raise ValueError(f"{count} codes do not fit into {channels} channels in groups of {size}")
    places = [(k % groups) * size + 2 + k // groups for k in range(count)]
    return places, [(group * size, group * size + 1) for group in range(groups)]


def _codes_into(
    convolution: Any, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]
) -> None:
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


def _read_out(
    encoder: Any, codes: LinearCodes, places: list[int], steady: list[tuple[int, int]]
) -> None:
    """Undo the normalisation and the activation: linear around the operating point.

    Normalisation subtracts a group's mean from its codes and constants alike, so the constants tell
    it back.
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
