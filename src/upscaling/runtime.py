"""Running a network over a stretch of video: each frame's features once, as many frames and pixels
at once as fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.memory import keep_freed_memory
from src.upscaling.builds.forms import Form
from src.upscaling.builds.usual import usual_form
from src.upscaling.network import VideoNetwork, pad_to_grid
from src.upscaling.tiles import Tile, cut, side_for

SHARE = 0.35
"""Of the free memory that a forward may take; frames in the queues and encoders need the rest."""
MOST_FRAMES = 16
TILED = 2
"""Frames that a tile goes through before the next one is taken."""


@dataclass(frozen=True)
class Batch:
    """How much goes through at once: frames of a size, and pixels of one tile with its halo."""

    frames: int
    pixels: int


def bytes_per_pixel(network: VideoNetwork) -> int:
    """What a forward holds at its peak for a pixel of the source, in bytes, as counted in float32.

    Three copies of the features, the sampled taps and attention at a quarter of the pixels, and the
    output with its skip. tests/upscaling/test_runtime.py holds measured peaks below twice that, for
    which SHARE leaves room.
    """
    spec = network.spec
    features = 4 * spec.channels
    sampled = (
        2 * spec.align * spec.taps**2 + 12 * spec.trunk + 8 * spec.groups * spec.taps**2
    ) // 4
    return 4 * (features + sampled + 9 * spec.scale**2 + 24)


class NetworkRunner:
    """A network on a device.

    device: "cpu" or "cuda". budget: bytes that a forward may take; None measures what is free. A
    forward that runs out of CUDA memory is tried again with half the batch. form: what computes the
    network; None takes the usual one of the device.
    """

    def __init__(
        self,
        network: VideoNetwork,
        device: str = "cpu",
        budget: int | None = None,
        form: Form | None = None,
    ) -> None:
        keep_freed_memory()
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spec = network.spec
        self.form = form or usual_form(self.network)
        self.budget = budget or int(SHARE * free_memory(self.device))

    def batch(self, height: int, width: int) -> Batch:
        """How many frames of a size fit, and how large a tile where not even one does.

        A CPU takes one frame at a time: more only drive each other out of its caches.
        """
        most = max(1, self.budget // bytes_per_pixel(self.network))
        frames = (
            1 if self.device.type == "cpu" else max(1, min(MOST_FRAMES, most // (height * width)))
        )
        return Batch(frames, most)

    def run(
        self, frames: np.ndarray, before: int, after: int, condition: tuple[float, float]
    ) -> Iterator[np.ndarray]:
        """Enlarge the body of a piece, a few frames at a time.

        frames: (T, H, W, 3), uint8, uint16, or float32 in [0, 1]; before, after: how many of them
        are context.
        Yields (n, sH, sW, 3) float32, about in [0, 1], T - before - after frames in all.
        """
        height, width = frames.shape[1:3]
        grid, scale = self.spec.grid, self.spec.scale
        batch = self.batch(height + -height % grid, width + -width % grid)
        done, total = 0, len(frames) - before - after
        cause = "damaged weights: train or fetch them again"
        if "fp32" not in self.form.name:
            cause = f"the arithmetic of {self.form.name}: try --precision fp32"
        while done < total:
            try:
                for made in self._run(frames, before + done, after, condition, batch):
                    if not is_finite(made):
                        raise NotFiniteError(
                            f"the enlarged frame {done} of a piece is not finite; likely {cause}"
                        )
                    yield (
                        made[..., : height * scale, : width * scale]
                        .permute(0, 2, 3, 1)
                        .cpu()
                        .numpy()
                    )
                    done += len(made)
            except torch.cuda.OutOfMemoryError:
                batch = self._halved(batch, (height, width))
                torch.cuda.empty_cache()

    def _halved(self, batch: Batch, size: tuple[int, int]) -> Batch:
        if batch.frames > 1:
            return Batch(batch.frames // 2, batch.pixels)
        pixels = min(batch.pixels, size[0] * size[1]) // 2
        if pixels < (2 * (self.spec.grid + self.spec.halo)) ** 2:
            raise torch.cuda.OutOfMemoryError(
                "out of memory with the smallest tiles; the GPU is taken by others"
            )
        return Batch(1, pixels)

    @torch.inference_mode()
    def _run(
        self,
        frames: np.ndarray,
        before: int,
        after: int,
        condition: tuple[float, float],
        batch: Batch,
    ) -> Iterator[Tensor]:
        padded = pad_to_grid(self._tensor(frames), self.spec.grid)[0]
        told = torch.tensor([condition], dtype=torch.float32, device=self.device)
        height, width = padded.shape[-2:]
        if height * width <= batch.pixels:
            yield from self._stretch(padded, before, after, told, batch.frames)
            return
        tiles, last = self._tiles(height, width, batch.pixels), len(padded) - after
        for begin in range(before, last, TILED):
            end = min(begin + TILED, last)
            first = max(0, begin - self.spec.context)
            clip = padded[first : end + self.spec.context]
            yield self._joined(clip, begin - first, end - begin, tiles, told)

    def _tensor(self, frames: np.ndarray) -> Tensor:
        """(1, T, 3, H, W) float32 in [0, 1] on the device."""
        full = {"uint8": 255.0, "uint16": 65535.0}.get(frames.dtype.name, 1.0)
        given = torch.from_numpy(np.ascontiguousarray(frames))
        if self.device.type == "cuda":
            given = given.pin_memory().to(self.device, non_blocking=True)
        return (given.permute(0, 3, 1, 2).contiguous().float() / full)[None]

    def _stretch(
        self, clip: Tensor, before: int, after: int, told: Tensor, group: int
    ) -> Iterator[Tensor]:
        """The body of a clip (T, 3, H, W), `group` frames at a time; features of a frame are
        computed once.
        """
        last, reach = len(clip) - 1, self.spec.aligned
        known: dict[int, tuple[Tensor, Tensor]] = {}
        for begin in range(before, len(clip) - after, group):
            end = min(begin + group, len(clip) - after)
            seen = range(max(0, begin - reach), min(last, end - 1 + reach) + 1)
            known |= self._features(clip, [t for t in seen if t not in known], told)
            yield self._decode(clip, range(begin, end), known, told)
            known = {t: known[t] for t in known if t >= end - 1}

    def _features(
        self, clip: Tensor, need: list[int], told: Tensor
    ) -> dict[int, tuple[Tensor, Tensor]]:
        if not need:
            return {}
        last = len(clip) - 1
        stacked = torch.stack(
            [torch.cat([clip[max(0, t - 1)], clip[t], clip[min(last, t + 1)]]) for t in need]
        )
        x, y = self.form.features(stacked, told.expand(len(need), -1))
        return {t: (x[i : i + 1], y[i : i + 1]) for i, t in enumerate(need)}

    def _decode(
        self, clip: Tensor, body: range, known: dict[int, tuple[Tensor, Tensor]], told: Tensor
    ) -> Tensor:
        last, reach = len(clip) - 1, self.spec.aligned
        steps = (-reach, 0, reach)
        around = [[known[min(max(t + step, 0), last)][1] for t in body] for step in steps]
        x = _together([known[t][0] for t in body])
        before, own, after = (_together(part) for part in around)
        told = told.expand(len(body), -1)
        return self.form.decode(clip[body.start : body.stop], x, (before, own, after), told)

    def _tiles(self, height: int, width: int, pixels: int) -> list[tuple[Tile, Tile]]:
        side, grid, halo = (
            side_for(pixels, self.spec.grid, self.spec.halo),
            self.spec.grid,
            self.spec.halo,
        )
        return [
            (rows, columns)
            for rows in cut(height, side, halo, grid)
            for columns in cut(width, side, halo, grid)
        ]

    def _joined(
        self, clip: Tensor, before: int, count: int, tiles: list[tuple[Tile, Tile]], told: Tensor
    ) -> Tensor:
        """`count` frames of a clip, one tile after the other, so that the features of only one are
        held.
        """
        scale, after = self.spec.scale, len(clip) - before - count
        out = clip.new_empty(count, 3, scale * clip.shape[-2], scale * clip.shape[-1])
        for rows, columns in tiles:
            read = clip[..., rows.begin : rows.end, columns.begin : columns.end]
            part = torch.cat(list(self._stretch(read, before, after, told, 1)))
            out[..., _outer(rows, scale), _outer(columns, scale)] = part[
                ..., _inner(rows, scale), _inner(columns, scale)
            ]
        return out


def _together(parts: list[Tensor]) -> Tensor:
    """The parts along the first dimension; one alone is not copied."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


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
