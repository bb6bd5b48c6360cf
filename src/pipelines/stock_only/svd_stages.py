"""What one clip of Stable Video Diffusion passes through its parts, on the meta device, as the
stock pipeline does.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.sides import StockStages

DTYPE = torch.bfloat16


def svd_stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
    """Of its own size and count of frames; guidance is a batch of two, and all frames are decoded
    at once.
    """
    image, unet, vae = (_any(parts[name]) for name in ("image_encoder", "unet", "vae"))
    size, frames = spec.native, spec.defaults.num_frames
    latent = (size.height // 8, size.width // 8)

    def denoise() -> Any:
        latents, photograph = _made(1, frames, 4, *latent), _made(2, frames, 4, *latent)
        noise = unet(
            torch.cat([torch.cat([latents] * 2), photograph], dim=2),
            torch.empty((), device="meta"),
            encoder_hidden_states=_made(2, 1, unet.config.cross_attention_dim),
            added_time_ids=_made(2, 3), return_dict=False,
        )[0]  # fmt: skip
        without, told = noise.chunk(2)
        return without + spec.defaults.baseline_guidance_scale * (told - without)

    def decode() -> Any:
        video = vae.decode(_made(frames, 4, *latent), num_frames=frames).sample.float()
        return (video * 0.5 + 0.5).clamp(0, 1)

    def encode_image() -> Any:
        image(_made(1, 3, image.config.image_size, image.config.image_size))
        return vae.encode(_made(1, 3, size.height, size.width)).latent_dist.mode()

    return StockStages(lambda: None, encode_image, denoise, decode)


def _any(part: nn.Module) -> Any:
    return part


def _made(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=DTYPE, device="meta")
