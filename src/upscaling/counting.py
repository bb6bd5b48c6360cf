"""What the parts of a backend take, as the planner counts: without weights, on the meta device."""

from typing import Any

import torch
from torch import nn

from src.pipelines.footprint import bytes_of, streamed
from src.upscaling.fitting import Weights


def on_meta(module: Any) -> Any:
    """The same class and sizes without weights, in the same dtype. module: one of diffusers'."""
    with torch.device("meta"):
        made = type(module).from_config(module.config)
    return nn.Module.to(made, module.dtype).eval()


def weights_of(denoiser: nn.Module, blocks: list[nn.Module], vae: nn.Module) -> Weights:
    """blocks: of the denoiser, that stream; the VAE stays."""
    held = bytes_of(vae)
    return Weights(bytes_of(denoiser) + held, streamed(denoiser, nn.ModuleList(blocks)) + held)
