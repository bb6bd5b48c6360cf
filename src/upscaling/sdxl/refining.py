"""A few steps of SDXL at low noise over each frame (SDEdit, arXiv:2108.01073), without guidance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.progress import CancelToken
from src.core.refinement import SCHEDULE, Refinement
from src.pipelines.footprint import bytes_of, peak_of
from src.upscaling.blending import Canvas, TileArea, tiles
from src.upscaling.counting import on_meta
from src.upscaling.diffusion import Placement
from src.upscaling.fitting import Fit, Stage, Tile, Weights, fit
from src.upscaling.sdxl.parts import SdxlParts


class Refiner:
    """Frames one by one, so that equal ones stay equal. device: "cpu" or "cuda". budget: bytes."""

    def __init__(self, parts: SdxlParts, asked: Refinement, device: str, budget: int) -> None:
        self.parts, self.asked, self.budget = parts, asked, budget
        self.device = torch.device(device)
        self.ratio = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        self.grid = self.ratio * 2 ** (len(parts.unet.config.block_out_channels) - 1)
        self._fits: dict[tuple[Tile, int], Fit] = {}
        self._placement = Placement(parts.vae, parts.unet, self.device, "leaf_level")

    def filled(self, side: int) -> int:
        """The smallest side that the networks take."""
        return -(-side // self.grid) * self.grid

    def noise_shape(self, size: Tile) -> tuple[int, int, int]:
        """Of the one noise for frames of a size (height, width)."""
        height, width = (self.filled(side) // self.ratio for side in size)
        return self.parts.vae.config.latent_channels, height, width

    @torch.no_grad()
    def frame(self, picture: np.ndarray, noise: np.ndarray, cancel: CancelToken) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1] to the same, refined. noise: of `noise_shape`.

        Raises NotFiniteError, OutOfMemoryError, and CancelledError before each forward of the UNet
        and of each block of the VAE.
        """
        height, width = picture.shape[:2]
        size = self.filled(height), self.filled(width)
        edges = ((0, size[0] - height), (0, size[1] - width), (0, 0))
        filled = np.pad(picture, edges, mode="edge")
        fitted = self.fitted(size)
        self._placement.place(fitted)
        every = tiles(size, fitted.tiles["refine"], self.grid)
        canvas = Canvas((1, *size, 3), every)
        for part in every:
            cells = part.times(1, self.ratio)
            own = torch.from_numpy(noise[(slice(None), *cells.place)])[None]
            canvas.add(part, self._tile(filled[part.place], own, part, size, cancel))
        return canvas.made[0, :height, :width]

    def _tile(
        self, pixels: np.ndarray, noise: Tensor, part: TileArea, size: Tile, cancel: CancelToken
    ) -> np.ndarray:
        """(1, h, w, 3) of a tile (h, w, 3) of a frame of a size."""
        vae, factor = self.parts.vae, self.parts.vae.config.scaling_factor
        given = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device) * 2 - 1
        told = (*size, part.top, part.left, *part.size)
        with _cancelled_inside(vae, cancel):
            latents = vae.encode(given).latent_dist.mode() * factor
            latents = self.denoised(latents, noise.to(self.device), told, cancel)
            made = (vae.decode(latents / factor).sample * 0.5 + 0.5).clamp(0, 1)
        if not is_finite(made):
            raise NotFiniteError(
                f"{self.asked} made a frame that is not finite; the weights are likely damaged"
            )
        return made.permute(0, 2, 3, 1).float().cpu().numpy()

    def denoised(
        self, latents: Tensor, noise: Tensor, told: tuple[int, ...], cancel: CancelToken
    ) -> Tensor:
        """Latents (1, C, h, w) noised and denoised again in the asked steps, with a schedule of its
        own. told: original height and width, place and size of the crop, in pixels.
        """
        scheduler = self.parts.scheduler
        scheduler.set_timesteps(SCHEDULE, device=self.device)
        begin = SCHEDULE - self.asked.steps
        scheduler.set_begin_index(begin)
        latents = scheduler.add_noise(latents, noise, scheduler.timesteps[begin : begin + 1])
        for time in scheduler.timesteps[begin:]:
            cancel.check()
            predicted = self.predicted(scheduler.scale_model_input(latents, time), time, told)
            latents = scheduler.step(predicted.float(), time, latents, return_dict=False)[0]
        return latents

    def predicted(self, latents: Tensor, time: Tensor, told: tuple[int, ...]) -> Tensor:
        """The UNet's forward, in its own dtype."""
        dtype, device = self.parts.unet.dtype, latents.device
        added = {
            "text_embeds": self.parts.pooled.to(device, dtype),
            "time_ids": torch.tensor([told], dtype=dtype, device=device),
        }
        prompt = self.parts.prompt.to(device, dtype)
        return self.parts.unet(
            latents.to(dtype), time, prompt, added_cond_kwargs=added, return_dict=False
        )[0]

    def fitted(self, size: Tile) -> Fit:
        """How frames of a size, of multiples of the grid, go through."""
        key = size, self.budget
        if key not in self._fits:
            stages = {"refine": Stage(partial(_peak, self, on_meta(self.parts.unet),
                                              on_meta(self.parts.vae)), size)}  # fmt: skip
            self._fits[key] = fit(self._weights(), stages, self.budget, self.grid)
        return self._fits[key]

    def _weights(self) -> Weights:
        """None on a CPU, where they lie in the memory that was measured."""
        if self.device.type == "cpu":
            return Weights()
        held = bytes_of(self.parts.vae)
        unet = self.parts.unet
        leaves = [part for part in unet.modules() if not any(True for _ in part.children())]
        largest = sorted(map(bytes_of, leaves), reverse=True)[:2]
        return Weights(held + bytes_of(unet), held + sum(largest))


@contextmanager
def _cancelled_inside(vae: Any, cancel: CancelToken) -> Iterator[None]:
    """The wish to stop is looked at before each block of the VAE, which of large frames takes
    seconds.
    """
    every = (*vae.encoder.down_blocks, vae.encoder.mid_block, vae.decoder.mid_block,
             *vae.decoder.up_blocks)  # fmt: skip
    hooks = [block.register_forward_pre_hook(lambda *_: cancel.check()) for block in every]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _peak(refiner: Refiner, unet: nn.Module, vae: nn.Module, tile: Tile) -> int:
    """Bytes beside the weights for a tile, counted on the meta device."""
    parts, channels = refiner.parts, refiner.parts.vae.config.latent_channels
    shadow = SdxlParts(unet, vae, None, parts.prompt.to("meta"), parts.pooled.to("meta"))
    other = Refiner(shadow, refiner.asked, "cpu", 0)
    pixels = torch.empty(1, 3, *tile, device="meta")
    z = torch.empty(1, channels, *(side // refiner.ratio for side in tile), device="meta")
    time = torch.zeros((), device="meta")
    stages = (
        lambda: vae.encode(pixels),
        lambda: other.predicted(z, time, (0,) * 6),
        lambda: vae.decode(z).sample,
    )
    return max(peak_of(stage, [unet, vae]) for stage in stages)
