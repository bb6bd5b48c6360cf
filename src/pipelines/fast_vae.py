"""The exact fast VAE: spatial norms convolve at latent resolution and broadcast.

`CogVideoXSpatialNorm3D` enlarges the latent to the feature map's size by nearest neighbour and then applies two
1x1x1 convolutions. A pointwise convolution commutes with a nearest-neighbour enlargement, so convolving first and
broadcasting after gives the same sums at a fraction of the work and of the memory. Applied per instance: patching
the class would change the stock baseline in the same process.
"""

from types import MethodType

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSpatialNorm3D
from torch import Tensor, nn


def use_fast_spatial_norm(vae: nn.Module) -> int:
    """Switch every spatial norm of this VAE to the fast form; returns how many. Raises if there is none."""
    norms = [module for module in vae.modules() if isinstance(module, CogVideoXSpatialNorm3D)]
    if not norms:
        raise ValueError("this VAE has no CogVideoXSpatialNorm3D: the fast form does not apply")
    for norm in norms:
        norm.forward = MethodType(_forward, norm)
    return len(norms)


def _forward(
    self: CogVideoXSpatialNorm3D, f: Tensor, zq: Tensor, conv_cache: dict[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, None]]:
    """Norm of features f (B, C, T, H, W), modulated by latents zq (B, Z, t, h, w); H, W multiples of h, w."""
    zq = zq[:, :, _time_index(f.shape[2], zq.shape[2], f.device)]
    scale, shift = self.conv_y.conv(zq), self.conv_b.conv(zq)
    batch, channels, frames, height, width = f.shape
    rows, columns = zq.shape[-2:]
    tiled = (batch, channels, frames, rows, height // rows, columns, width // columns)
    normed = self.norm_layer(f).reshape(tiled)
    out = normed * scale[..., :, None, :, None] + shift[..., :, None, :, None]
    return out.reshape(f.shape), {"conv_y": None, "conv_b": None}


def _time_index(frames: int, latents: int, device: torch.device) -> Tensor:
    """Which latent frame each frame looks at: nearest; the first frame alone where the count is odd."""
    if frames > 1 and frames % 2 == 1:
        rest = torch.arange(frames - 1, device=device) * (latents - 1) // (frames - 1)
        return torch.cat([rest.new_zeros(1), rest + 1])
    return torch.arange(frames, device=device) * latents // frames
