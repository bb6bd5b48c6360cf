"""Fine-tuning Wan 2.2 TI2V (`src.pipelines.learning.Training`)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.pipelines.flow_objective import FlowObjective
from src.pipelines.flow_schedules import unipc_schedule
from src.pipelines.flow_training import FlowTraining


class Denoiser(nn.Module):
    """The transformer with a timestep for each token."""

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.transformer, self.dtype = transformer, dtype
        self.patch: tuple[int, int, int] = tuple(transformer.config.patch_size)  # type: ignore

    def forward(
        self, noisy: Tensor, known: Tensor, text: Tensor, timesteps: Tensor, size: Any
    ) -> Tensor:
        """The velocity (B, F, C, h, w) for noisy latents of that shape."""
        cells = (noisy.shape[3] // self.patch[1]) * (noisy.shape[4] // self.patch[2])
        levels = timesteps.float()[:, None] * (~known).float()
        velocity = self.transformer(
            hidden_states=noisy.transpose(1, 2).to(self.dtype),
            timestep=levels.repeat_interleave(cells, dim=1),
            encoder_hidden_states=text.to(self.dtype),
            return_dict=False,
        )[0]
        return velocity.transpose(1, 2)


class WanTraining(FlowTraining):
    kind = "WanTransformer3DModel"
    frames_a_latent = 4

    def objective(self, folder: Path) -> FlowObjective:
        vae, scheduler = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("vae/config.json", "scheduler/scheduler_config.json")
        )
        return _objective(vae, scheduler)

    def objective_of(self, pipe: Any) -> FlowObjective:
        return _objective(pipe.vae.config, pipe.scheduler.config)

    def text_width(self, transformer: Any) -> int:
        return transformer.config.text_dim


def _objective(vae: Mapping[str, Any], scheduler: Mapping[str, Any]) -> FlowObjective:
    """The shift is inference's."""
    mean, deviation = (torch.tensor(vae[name]) for name in ("latents_mean", "latents_std"))
    schedule = unipc_schedule(scheduler)
    return FlowObjective(mean, deviation, schedule.shift, Denoiser, schedule.train_timesteps)
