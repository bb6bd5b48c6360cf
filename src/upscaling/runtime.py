"""Running a network on pieces of video: as many frames and pixels at once as memory allows."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from src.core.memory import keep_freed_memory
from src.upscaling.network import VideoNetwork, pad_to_grid
from src.upscaling.tiles import Tile, cut, side_for

SHARE = 0.35
"""Of the free memory that one forward may take; frames in the queues and encoders need the rest."""
CPU_PIXELS = 1_500_000
"""Pixels of the source at once on a CPU: more gain nothing there."""


@dataclass(frozen=True)
class Batch:
    """How much goes through at once. frames: of a piece, without its context. pixels: of one tile with its halo."""

    frames: int
    pixels: int


def bytes_per_pixel(network: VideoNetwork) -> int:
    """What a forward holds at its peak for a pixel of the source, in bytes, as counted in float32.

    Three copies of the features before the trunk, the sampled taps and attention at a quarter of the pixels, and the
    output with its skip. Measured peaks lay below it (tests/upscaling/test_runtime.py).
    """
    spec = network.spec
    features = 4 * spec.channels
    sampled = (2 * spec.align * spec.taps**2 + 8 * spec.trunk + 6 * spec.groups * spec.taps**2) // 4
    return 4 * (features + sampled + 9 * spec.scale**2 + 24)


class NetworkRunner:
    """A network on a device, with what it can take at once.

    device: "cpu" or "cuda". half: bfloat16 arithmetic on CUDA. budget: bytes for one forward; None measures what is
    free. A forward that runs out of CUDA memory is tried again on tiles half as large.
    """

    def __init__(self, network: VideoNetwork, device: str = "cpu", budget: int | None = None) -> None:
        keep_freed_memory()
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spec = network.spec
        self.half = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.budget = budget or int(SHARE * free_memory(self.device))

    def batch(self, height: int, width: int) -> Batch:
        """How many frames of a size fit, and how large a tile where not even the few that a window needs do."""
        most = max(1, self.budget // bytes_per_pixel(self.network))
        if self.device.type == "cpu":
            most = min(most, CPU_PIXELS)
        window = 2 * self.spec.context + 1
        pixels = min(most // window, height * width)
        frames = max(1, min(32, most // max(1, pixels) - 2 * self.spec.context))
        return Batch(frames, pixels)

    def __call__(self, frames: np.ndarray, condition: tuple[float, float]) -> np.ndarray:
        """frames: (T, H, W, 3) uint8 or uint16. Gives (T, sH, sW, 3) float32 in [0, 1] or a little beyond."""
        full = 65535.0 if frames.dtype == np.uint16 else 255.0
        given = torch.from_numpy(np.ascontiguousarray(frames.astype(np.int32) if full > 255 else frames))
        if self.device.type == "cuda":
            given = given.pin_memory().to(self.device, non_blocking=True)
        clip = (given.permute(0, 3, 1, 2).float() / full)[None]
        told = torch.tensor([condition], dtype=torch.float32, device=self.device)
        return self.forward(clip, told).permute(0, 2, 3, 1).cpu().numpy()

    @torch.inference_mode()
    def forward(self, clip: Tensor, told: Tensor) -> Tensor:
        """(1, T, 3, H, W) to (T, 3, sH, sW), in tiles where it is too large."""
        height, width = clip.shape[-2:]
        padded = pad_to_grid(clip, self.spec.grid)
        batch = self.batch(*padded.shape[-2:])
        while True:
            try:
                out = self._tiled(padded, told, batch.pixels)
                break
            except torch.cuda.OutOfMemoryError:
                if batch.pixels <= 4 * (self.spec.grid + self.spec.halo) ** 2:
                    raise
                batch = replace(batch, pixels=batch.pixels // 2)
            torch.cuda.empty_cache()
        return out[..., : height * self.spec.scale, : width * self.spec.scale]

    def _tiled(self, padded: Tensor, told: Tensor, pixels: int) -> Tensor:
        height, width = padded.shape[-2:]
        if height * width <= pixels:
            return self._network(padded, told)
        side = side_for(pixels, self.spec.grid, self.spec.halo)
        scale = self.spec.scale
        out = padded.new_empty(padded.shape[1], 3, scale * height, scale * width)
        for rows in cut(height, side, self.spec.halo, self.spec.grid):
            for columns in cut(width, side, self.spec.halo, self.spec.grid):
                made = self._network(padded[..., rows.begin : rows.end, columns.begin : columns.end], told)
                kept = made[..., _inner(rows, scale), _inner(columns, scale)]
                out[..., _outer(rows, scale), _outer(columns, scale)] = kept
        return out

    def _network(self, clip: Tensor, told: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.network.on_grid(clip, told)[0]


def _inner(tile: Tile, scale: int) -> slice:
    return slice((tile.first - tile.begin) * scale, (tile.last - tile.begin) * scale)


def _outer(tile: Tile, scale: int) -> slice:
    return slice(tile.first * scale, tile.last * scale)


def free_memory(device: torch.device) -> int:
    """Bytes that may be taken now: of the GPU, or of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def set_threads(threads: int | None) -> None:
    """CPU threads of the network; None takes as many as this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or cores)
