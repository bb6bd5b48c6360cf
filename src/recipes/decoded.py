"""What a pipeline's VAE makes of pictures: as they look when it decodes them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.pipelines.families import family_of_folder
from src.pipelines.family import parts_of
from src.pipelines.loading import read_pipeline
from src.pipelines.roles import vae_of
from src.recipes.scene_source import to_tensor


def read_fast_vae(folder: Path) -> Any:
    """The VAE of a pipeline's folder alone, float32 on the CPU, by the family's fast sums. Raises
    as `read_pipeline` does.
    """
    family = family_of_folder(folder)
    names = [part.name for part in parts_of(family, "vae")]
    vae = vae_of(family, read_pipeline(folder, torch.float32, names)).requires_grad_(False)
    family.loop.speed_up_vae(vae)
    return vae


@torch.no_grad()
def encoded_and_decoded(vae: Any, frames: np.ndarray) -> np.ndarray:
    """(F, H, W, 3) uint8 through the VAE, the same again."""
    latents = vae.encode(to_tensor(frames)[None]).latent_dist.mode()
    decoded = vae.decode(latents).sample[0].float().clamp(-1, 1)
    return ((decoded.permute(1, 2, 3, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
