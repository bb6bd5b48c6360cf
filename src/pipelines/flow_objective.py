"""The flow-matching objective of families that are told the photograph as their first latent frame,
in float32.

With s the noise level, x_s = (1 - s) x0 + s eps, and the model predicts the velocity eps - x0
(Lipman et al., arXiv:2210.02747; Liu et al., arXiv:2209.03003). Levels are drawn evenly and moved
towards the noisy end by the checkpoint's own shift (Esser et al., arXiv:2403.03206, section 5.3.2).
Where the photograph is given, the first frame is the photograph at timestep 0, and nothing is asked
of it (LTX-Video, arXiv:2501.00103; Wan, arXiv:2503.20314); dropped, it is a frame like the others.

Latents are (B, F, C, h, w).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src.pipelines.learning import NoisedBatch
from src.pipelines.steadiness import unsteadiness

Denoisers = Callable[[nn.Module, torch.dtype], nn.Module]


@dataclass(frozen=True)
class FlowObjective:
    """mean, deviation: (C,) of the VAE's latents, which the model sees normalised. shift: of the
    levels. denoisers: makes the module that `losses` calls; its forward takes noisy latents
    (B, F, C, h, w), which frames are known (B, F), text, timesteps (B,) and size, and gives the
    velocity."""

    mean: Tensor
    deviation: Tensor
    shift: float
    denoisers: Denoisers
    steps: int = 1000

    @property
    def noisiest(self) -> float:
        return float(self.steps)

    @property
    def held(self) -> int:
        return 1

    def timestep(self, generator: torch.Generator, high_noise: float) -> float:
        """Of an even draw, but for a share that comes from the upper third, shifted."""
        upper, level = torch.rand(2, generator=generator).tolist()
        level = (2 + level) / 3 if upper < high_noise else level
        return self.steps * self.shift * level / (1 + (self.shift - 1) * level)

    def clean(self, posterior: Tensor) -> Tensor:
        """(T, C, h, w), normalised."""
        return self._normalised(posterior)

    def image(self, encoded: Tensor) -> Tensor:
        """(1, C, h, w), normalised as the clip is."""
        return self._normalised(encoded[None])

    def _normalised(self, latents: Tensor) -> Tensor:
        mean, deviation = (
            values.to(latents).view(-1, 1, 1) for values in (self.mean, self.deviation)
        )
        return (latents - mean) / deviation

    def noised(self, batch: NoisedBatch) -> Tensor:
        level = (batch.timesteps.float() / self.steps).view(-1, 1, 1, 1, 1)
        return (1 - level) * batch.clean.float() + level * batch.noise.float()

    def errors(self, predicted: Tensor, batch: NoisedBatch, counts: Tensor | None = None) -> Tensor:
        """Mean squared error from the velocity: (B,), the same weight at all levels."""
        return frame_errors(predicted, batch, counts).mean(1)

    def implied_clean(self, predicted: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """x0 = x_s - s v."""
        level = (timesteps.float() / self.steps).view(-1, 1, 1, 1, 1)
        return noisy.float() - level * predicted.float()

    def losses(self, model: nn.Module, transformer: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        clean, timesteps = batch["clean"], batch["timestep"]
        known = torch.zeros(clean.shape[:2], dtype=torch.bool, device=clean.device)
        known[:, 0] = batch["shown"]
        noised = NoisedBatch(clean, batch["noise"], timesteps)
        noisy = self.noised(noised)
        noisy = torch.where(known[..., None, None, None], batch["image"].float(), noisy)
        predicted = model(noisy, known, batch["text"], timesteps, batch["size"])
        errors = frame_errors(predicted, noised).masked_fill(known, 0).sum(1) / (~known).sum(1)
        if "steady" not in batch:
            return errors
        reached = self.implied_clean(predicted, noisy, timesteps)
        reached = torch.where(known[..., None, None, None], clean.float(), reached)
        return errors + batch["steady"] * unsteadiness(reached, clean, batch["follows"])

    def denoiser(self, transformer: nn.Module, dtype: torch.dtype) -> nn.Module:
        return self.denoisers(transformer, dtype)


def frame_errors(predicted: Tensor, batch: NoisedBatch, counts: Tensor | None = None) -> Tensor:
    """Mean squared error from the velocity in each frame: (B, F) float32. counts: as `errors`."""
    velocity = batch.noise.float() - batch.clean.float()
    squared = (predicted.float() - velocity).square()
    return (squared if counts is None else squared * counts).flatten(2).mean(2)
