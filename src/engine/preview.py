"""Pictures of a clip while it is made: one latent frame of the clean estimate, decoded, as JPEG."""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

EVERY_S = 1.0
QUALITY = 80


class Previewer:
    """Called with each step's estimate (1, F, C, h, w) of the clean latents; shows its middle frame, once a second.

    pipe: the loaded pipeline, its VAE on the device. show: takes JPEG bytes.
    """

    def __init__(self, pipe: Any, show: Callable[[bytes], None]) -> None:
        self.pipe, self.show, self._last = pipe, show, 0.0

    def __call__(self, step: int, estimate: Tensor) -> None:
        if time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        self.show(jpeg(self._decode(estimate[:, estimate.shape[1] // 2])))

    @torch.no_grad()
    def _decode(self, frame: Tensor) -> np.ndarray:
        """(1, C, h, w) to (H, W, 3) uint8."""
        vae = self.pipe.vae
        latents = (frame / self.pipe.vae_scaling_factor_image)[:, :, None].to(vae.dtype)
        latents = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
        pixels = vae.decoder(latents)[0][0, :, 0].float().clamp(-1, 1)
        return ((pixels.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
