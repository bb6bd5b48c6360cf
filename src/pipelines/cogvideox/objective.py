"""The CogVideoX image-to-video objective as pure functions, in float32: embedded model and adapters
share it.

With alpha the cumulative product of the schedule, x_t = sqrt(alpha) x0 + sqrt(1 - alpha) eps. What
a model predicts is its scheduler's `prediction_type`:

* "v_prediction", the large models: v = sqrt(alpha) eps - sqrt(1 - alpha) x0 (Salimans and Ho, 2022,
  arXiv:2202.00512). The published CogVideoX loss, mean((x0hat - x0)^2 / (1 - alpha)), equals
  mean((vhat - v)^2).
* "sample", the embedded model: x0 itself, by the same loss with 1 - alpha no smaller than 0.1.
  Where a token holds more numbers than the transformer is wide, it cannot carry the noise that v
  needs (Li and He, 2025, "Back to basics: let denoising generative models denoise",
  arXiv:2511.13720).

Latents are (B, F, C, h, w), as the transformer takes them. Alphas stay in float32: in bfloat16 the
first ones round to 1.
"""

import torch
from torch import Tensor

PREDICTIONS = ("v_prediction", "sample")
"""The prediction types that can be trained."""
LEAST_VARIANCE = 0.1
"""What the noise's variance counts at least when clean latents are predicted: else t = 0 would be
all that counts.
"""


def noised(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The noisy latents x_t; timesteps (B,) int64 index the schedule."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * x0.float() + spread * noise.float()


def velocity(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The target v of the same latents and noise."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * noise.float() - spread * x0.float()


def target(
    prediction: str, x0: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor
) -> Tensor:
    """What a model of this prediction type is to give for x_t:
    the velocity, or the clean latents.
    """
    return x0.float() if prediction == "sample" else velocity(x0, noise, alphas_cumprod, timesteps)


def weights(prediction: str, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """What the squared error of each sample is multiplied by: (B,) float32."""
    variance = 1 - alphas_cumprod.to(timesteps.device, torch.float32)[timesteps]
    return (
        1 / variance.clamp_min(LEAST_VARIANCE)
        if prediction == "sample"
        else torch.ones_like(variance)
    )


def clean(x_t: Tensor, v: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The clean latents that velocity v implies: x0 = sqrt(alpha) x_t - sqrt(1 - alpha) v."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    return signal * x_t.float() - spread * v.float()


def implied_clean(
    prediction: str, x_t: Tensor, predicted: Tensor, alphas_cumprod: Tensor, timesteps: Tensor
) -> Tensor:
    """The clean latents that a prediction of this type implies, in float32."""
    if prediction == "sample":
        return predicted.float()
    return clean(x_t, predicted, alphas_cumprod, timesteps)


def jump(
    prediction: str, x_t: Tensor, predicted: Tensor, alphas_cumprod: Tensor, timesteps: Tensor,
    until: Tensor,
) -> Tensor:  # fmt: skip
    """The latents at the earlier timesteps `until` (B,), -1 for clean ones, after one step of DDIM
    without noise (arXiv:2010.02502, eq. 12).
    """
    kept, added = _line(alphas_cumprod, timesteps, until)
    x0 = implied_clean(prediction, x_t, predicted, alphas_cumprod, timesteps)
    return kept * x_t.float() + added * x0


def implied(
    prediction: str, x_t: Tensor, reached: Tensor, alphas_cumprod: Tensor, timesteps: Tensor,
    until: Tensor,
) -> Tensor:  # fmt: skip
    """The prediction from which one `jump` leads to `reached`: its inverse (Salimans and Ho, 2022,
    arXiv:2202.00512, appendix G).
    """
    kept, added = _line(alphas_cumprod, timesteps, until)
    x0 = (reached.float() - kept * x_t.float()) / added
    if prediction == "sample":
        return x0
    signal, spread = _factors(alphas_cumprod, timesteps)
    return (signal * x_t.float() - x0) / spread


def _line(alphas_cumprod: Tensor, timesteps: Tensor, until: Tensor) -> tuple[Tensor, Tensor]:
    """What noisy latents and clean ones are multiplied by on the way to `until`."""
    signal, spread = _factors(alphas_cumprod, timesteps)
    signal_then, spread_then = _factors(alphas_cumprod, until)
    kept = spread_then / spread
    return kept, signal_then - kept * signal


def _factors(alphas_cumprod: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """Of signal and noise, (B, 1, 1, 1, 1) each; timestep -1 is clean."""
    known = alphas_cumprod.to(timesteps.device, torch.float32)[timesteps.clamp_min(0)]
    alpha = torch.where(timesteps < 0, 1.0, known).view(-1, 1, 1, 1, 1)
    return alpha.sqrt(), (1 - alpha).sqrt()


def sample_losses(predicted: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
    """The mean squared error in float32 of each sample: (B,). counts: (B, F, 1, h, w), what each
    cell's error is multiplied by; None for 1.
    """
    squared = (predicted.float() - target.float()).square()
    return (squared if counts is None else squared * counts).flatten(1).mean(1)


def image_condition(image_latents: Tensor, latent_frames: int, kept: Tensor) -> Tensor:
    """The photograph's latents (B, 1, C, h, w) on the first of `latent_frames` frames and zeros on
    the others.

    kept (B,) bool: where False the photograph is dropped, and all frames are zero.
    """
    shown = image_latents * kept.view(-1, 1, 1, 1, 1).to(image_latents.dtype)
    rest = shown.new_zeros(shown.shape[0], latent_frames - 1, *shown.shape[2:])
    return torch.cat([shown, rest], dim=1)
