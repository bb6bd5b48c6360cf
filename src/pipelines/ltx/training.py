"""Fine-tuning LTX-Video (`src.pipelines.learning.Training`)."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.pipelines.flow_objective import FlowObjective
from src.pipelines.flow_schedules import euler_schedule
from src.pipelines.flow_training import FlowTraining
from src.pipelines.ltx.describe import FRAMES_A_LATENT, STEP
from src.pipelines.ltx.packing import packed, unpacked

STATISTICS = ("latents_mean", "latents_std")


class Denoiser(nn.Module):
    """The transformer on packed tokens. Of an embedded prompt's token, the last channel is 1 where
    it is a word's."""

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.transformer, self.dtype = transformer, dtype

    def forward(
        self, noisy: Tensor, known: Tensor, text: Tensor, timesteps: Tensor, size: Any
    ) -> Tensor:
        """The velocity (B, F, C, h, w) for noisy latents of that shape. size: of the clip, with its
        fps."""
        grid = noisy.shape[1], noisy.shape[3], noisy.shape[4]
        levels = timesteps.float()[:, None] * (~known).float()
        text = text.to(self.dtype)
        velocity = self.transformer(
            hidden_states=packed(noisy.transpose(1, 2)).to(self.dtype),
            encoder_hidden_states=text[..., :-1], encoder_attention_mask=text[..., -1],
            timestep=levels.repeat_interleave(grid[1] * grid[2], dim=1),
            num_frames=grid[0], height=grid[1], width=grid[2],
            rope_interpolation_scale=(FRAMES_A_LATENT / round(size.fps), STEP, STEP),
            return_dict=False,
        )[0]  # fmt: skip
        return unpacked(velocity, grid).transpose(1, 2)


class LTXTraining(FlowTraining):
    kind = "LTXVideoTransformer3DModel"
    frames_a_latent = FRAMES_A_LATENT

    def objective(self, folder: Path) -> FlowObjective:
        """Mean and deviation of the latents stand in the VAE's weight files. Raises BadInputError
        where they do not."""
        found = _statistics(folder / "vae")
        if lacking := [name for name in STATISTICS if name not in found]:
            raise BadInputError(
                f"{folder / 'vae'} has no {lacking[0]}, without which no adapter can be trained; "
                "fetch or copy it again"
            )
        vae, scheduler = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("vae/config.json", "scheduler/scheduler_config.json")
        )
        mean, deviation = (found[name].float() for name in STATISTICS)
        return _objective(mean, deviation, vae.get("scaling_factor", 1.0), scheduler)

    def objective_of(self, pipe: Any) -> FlowObjective:
        vae = pipe.vae
        factor = vae.config.scaling_factor
        return _objective(vae.latents_mean, vae.latents_std, factor, pipe.scheduler.config)

    def text_width(self, transformer: Any) -> int:
        """With the channel that tells words."""
        return transformer.config.caption_channels + 1

    def embed(self, pipe: Any, prompt: str, length: int, device: torch.device) -> Tensor:
        embeds, mask, *_ = pipe.encode_prompt(
            prompt, None, False, max_sequence_length=length, device=device
        )
        return torch.cat([embeds[0], mask[0, :, None].to(embeds)], dim=1)

    def embedded(self, read: Callable[[str], Tensor]) -> Callable[..., Any]:
        def given(prompt: str, *_: Any, **__: Any) -> tuple[Tensor, ...]:
            return *_parted(read(prompt)), *_parted(read(""))

        return given


def _parted(text: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings (1, S, D) and mask (1, S), as the pipeline gives them."""
    return text[..., :-1], text[..., -1].bool()


def _objective(mean: Tensor, deviation: Tensor, factor: float, scheduler: Any) -> FlowObjective:
    """The shift is inference's; where that depends on a clip's tokens, midway between the two known
    ones."""
    schedule = euler_schedule(scheduler)
    shift = math.exp(sum(schedule.shifts[:2]) / 2) if schedule.shifts else schedule.shift
    return FlowObjective(mean, deviation / factor, shift, Denoiser, schedule.train_timesteps)


def _statistics(folder: Path) -> dict[str, Tensor]:
    """Those of them that the weight files of a VAE hold, by name."""
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            there = set(tensors.keys())
            found |= {name: tensors.get_tensor(name) for name in STATISTICS if name in there}
    return found
