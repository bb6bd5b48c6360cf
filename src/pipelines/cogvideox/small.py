"""What `src.pipelines.family.Small` asks for: small CogVideoX models, built from nothing and
trained whole."""

from typing import Any

import torch
from torch import Tensor, nn

from src.core.plan import Size
from src.pipelines.cogvideox.building import assemble, form
from src.pipelines.cogvideox.codes import install
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.fast_vae import use_frames_alone
from src.pipelines.cogvideox.objective import image_condition
from src.pipelines.cogvideox.rotary import joined, rotary_positions

__all__ = [
    "assemble",
    "condition",
    "denoise",
    "form",
    "install",
    "positions",
    "see_frames_alone",
    "use_frames_alone",
]


@torch.no_grad()
def see_frames_alone(decoder: nn.Module) -> None:
    """Silence, in place, what a decoder's 3D convolutions take from earlier frames.

    Codes of one frame say all there is to know of it, and a decoder without memory costs a third.
    The taps that are left grow by the square root of how many there were: features keep the
    variance that they were initialised for.
    """
    for name, module in decoder.named_modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1 and name.endswith("conv"):
            module.weight[:, :, -1] *= module.kernel_size[0] ** 0.5
            module.weight[:, :, :-1] = 0.0


def positions(pipe: Any, size: Size, token_frames: int, latent_frames: int) -> Tensor:
    """Cosines and sines (2, token_frames, tokens of a frame, D) of so many latent frames, those
    padded among them."""
    ratio = spatial_ratio(pipe.vae.config)
    tables = rotary_positions(
        pipe.transformer, size.height, size.width, ratio, latent_frames, "cpu"
    )
    if tables is None:
        raise ValueError(
            "a model that is trained from nothing tells its tokens' places by rotary positions"
        )
    return torch.stack([table.unflatten(0, (token_frames, -1)) for table in tables])


def denoise(
    transformer: nn.Module,
    noisy: Tensor,
    condition: Tensor,
    text: Tensor,
    timesteps: Tensor,
    positions: Tensor,
) -> Tensor:
    """The prediction (B, F, C, h, w). condition: the photograph's latents; positions: (2, tokens,
    D)."""
    both = joined(noisy, condition)
    return transformer(both, text, timesteps, image_rotary_emb=tuple(positions), return_dict=False)[
        0
    ]


def condition(image: Tensor, latent_frames: int, kept: Tensor) -> Tensor:
    """The photograph's latents (B, 1, C, h, w) on the first frame; where `kept` (B,) is False,
    none."""
    return image_condition(image, latent_frames, kept)
