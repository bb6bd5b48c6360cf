"""Rotary positions, padding in front, and the offset: what the transformer is told beside latents
and text.

Inference, adapters and the embedded model's recipe share these, so that training and use cannot
part.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

OFS = 2.0
"""What CogVideoX 1.5 is told of the frame rate, in training and in inference."""


def rotary_positions(
    transformer: Any,
    height: int,
    width: int,
    ratio: int,
    latent_frames: int,
    device: torch.device | str,
) -> tuple[Tensor, Tensor] | None:
    """Cosines and sines (tokens, D) of the 3D positions; None for a model with learned positions
    alone.

    height, width: of the clip in pixels. ratio: pixels that a latent cell is wide and high. By the
    stock pipeline's own function, on a stand-in that has what it reads.
    """
    from diffusers import CogVideoXImageToVideoPipeline

    if not transformer.config.use_rotary_positional_embeddings:
        return None
    stand_in: Any = SimpleNamespace(transformer=transformer, vae_scale_factor_spatial=ratio)
    prepare = CogVideoXImageToVideoPipeline._prepare_rotary_positional_embeddings
    return prepare(stand_in, height, width, latent_frames, device)  # type: ignore[arg-type]


def of_groups(
    rotary: tuple[Tensor, Tensor], groups: Tensor, token_frames: int
) -> tuple[Tensor, Tensor]:
    """The positions of some token frames, of a clip that has `token_frames`: their tokens alone."""
    cosines, sines = (
        table.unflatten(0, (token_frames, -1))[groups].flatten(0, 1) for table in rotary
    )
    return cosines, sines


def offset(transformer: Any, like: Tensor) -> Tensor | None:
    """(1,) in the dtype of `like`; None for a model that embeds no offset."""
    return None if transformer.config.ofs_embed_dim is None else like.new_full((1,), OFS)


def missing_frames(latent_frames: int, patch_t: int | None) -> int:
    """Latent frames that are added in front so that a patch of several holds as many."""
    return -latent_frames % patch_t if patch_t else 0


def padded(clean: Tensor, patch_t: int | None) -> Tensor:
    """Latents (T, C, h, w) that 1.5 can patch in time: as in inference, the first frame is repeated
    in front."""
    missing = missing_frames(len(clean), patch_t)
    return torch.cat([clean[:1].expand(missing, -1, -1, -1), clean]) if missing else clean


def joined(noisy: Tensor, photograph: Tensor) -> Tensor:
    """The photograph's latents (B, F, C, h, w) beside the noisy ones, on the channel axis."""
    return torch.cat([noisy, photograph], dim=2)
