"""Noise on the photograph that a clip begins with, so that a model bears pictures that are not
clean."""

import torch
from torch import Tensor


def image_noise(pixels: Tensor, generator: torch.Generator, level: float = -3.0) -> Tensor:
    """Pixels (B, 3, 1, H, W) in -1..1 with noise of deviation exp(N(level, 0.5)), one deviation a
    sample."""
    device = generator.device
    deviation = torch.exp(
        torch.randn(pixels.shape[0], generator=generator, device=device) * 0.5 + level
    )
    noise = torch.randn(pixels.shape, generator=generator, device=device)
    return pixels + (deviation.view(-1, 1, 1, 1, 1) * noise).to(pixels)
