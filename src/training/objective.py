"""The CogVideoX image-to-video objective as pure functions, in float32: embedded model and adapters share it.

With alpha the cumulative product of the schedule, x_t = sqrt(alpha) x0 + sqrt(1 - alpha) eps and the target is
v = sqrt(alpha) eps - sqrt(1 - alpha) x0 (Salimans and Ho, 2022, arXiv:2202.00512). The published CogVideoX loss,
mean((x0hat - x0)^2 / (1 - alpha)), equals mean((vhat - v)^2). Latents are (B, F, C, h, w), as the transformer
takes them. Alphas stay in float32: in bfloat16 the first ones round to 1.
"""

import torch
from torch import Tensor


def noised(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The noisy latents x_t; timesteps (B,) int64 index the schedule."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * x0.float() + spread * noise.float()


def velocity(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The target v of the same latents and noise."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * noise.float() - spread * x0.float()


def clean(x_t: Tensor, v: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The clean latents that velocity v implies: x0 = sqrt(alpha) x_t - sqrt(1 - alpha) v."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * x_t.float() - spread * v.float()


def _factors(alphas_cumprod: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    alpha = alphas_cumprod.to(timesteps.device, torch.float32)[timesteps].view(-1, 1, 1, 1, 1)
    return alpha.sqrt(), (1 - alpha).sqrt()


def velocity_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean squared error in float32, a scalar."""
    return (predicted.float() - target.float()).square().mean()


def sample_losses(predicted: Tensor, target: Tensor) -> Tensor:
    """The same error for each sample: (B,), whose mean is `velocity_loss`."""
    return (predicted.float() - target.float()).square().flatten(1).mean(1)


def image_condition(image_latents: Tensor, latent_frames: int, kept: Tensor) -> Tensor:
    """The photograph's latents (B, 1, C, h, w) on the first of `latent_frames` frames and zeros on the others.

    kept (B,) bool: where False the photograph is dropped, and all frames are zero.
    """
    shown = image_latents * kept.view(-1, 1, 1, 1, 1).to(image_latents.dtype)
    rest = shown.new_zeros(shown.shape[0], latent_frames - 1, *shown.shape[2:])
    return torch.cat([shown, rest], dim=1)


def image_noise(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels (B, 3, 1, H, W) in -1..1 with noise of deviation exp(N(-3, 0.5)), one deviation a sample."""
    deviation = torch.exp(torch.randn(pixels.shape[0], generator=generator) * 0.5 - 3.0)
    noise = torch.randn(pixels.shape, generator=generator)
    return pixels + (deviation.view(-1, 1, 1, 1, 1) * noise).to(pixels)
