"""What the upscaler is held to: pixels, features of other networks, and change from frame to frame."""

from __future__ import annotations

from torch import Tensor, nn

from src.training.upscaler_settings import Losses

EPSILON = 1e-3


def charbonnier(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): L1 that is smooth at zero (Lai et al., "LapSRN", CVPR 2017)."""
    return (made - wanted).square().add(EPSILON**2).sqrt().mean()


def l1(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (made - wanted).abs().mean()


def difference_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 between the changes from frame to frame of two (B, T, 3, H, W): flicker that the truth has not."""
    return l1(made.diff(dim=1), wanted.diff(dim=1)) if made.shape[1] > 1 else made.new_zeros(())


class UpscalerLoss(nn.Module):
    """The weighted sum of the settings; takes two (B, T, 3, H, W) in [0, 1]."""

    def __init__(self, settings: Losses) -> None:
        super().__init__()
        self.settings = settings
        self.pixel = charbonnier if settings.pixel == "charbonnier" else l1

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        total = self.pixel(made, wanted)
        if self.settings.difference:
            total = total + self.settings.difference * difference_loss(made, wanted)
        return total
