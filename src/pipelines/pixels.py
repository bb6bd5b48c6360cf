"""Pixels out of a decoder, as every family makes them."""

import numpy as np
import torch
from torch import Tensor

from src.core.errors import NotFiniteError
from src.core.finite import is_finite


def to_uint8(sample: Tensor) -> np.ndarray:
    """(1, 3, F, H, W) in [-1, 1] to (F, H, W, 3) uint8, rounding as the stock image processor does.

    Raises NotFiniteError: cast to integers, what is not a number would be a colour.
    """
    if not is_finite(sample):
        raise NotFiniteError(
            "the decoder's pixels are not finite though the latents are, so that there is no "
            "picture; "
            "likely float16 overflows (try --dtype bfloat16 or float32), or the weights of the VAE "
            "are damaged"
        )
    unit = (sample[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()
    return (unit * 255).round().to(torch.uint8).cpu().numpy()
