"""Many clips rendered at once on a device: what `Scene.frames` draws, by one gather a layer.

Equal to `Scene.frames` but for rounding: OpenCV places pixels to a 32nd of a pixel, the gather
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from src.scenes.scene import Layer, Scene

Canvases = Callable[[Layer], Tensor]
"""A layer's canvas (3, H, W) uint8 on the device."""


@torch.no_grad()
def render_scenes(
    scenes: Sequence[Scene], at: Sequence[int], canvases: Canvases, device: torch.device
) -> Tensor:
    """The frames with the numbers `at` of scenes of one size: (B, 3, F, H, W) float32 in -1..1."""
    backgrounds = [scene.layers[0] for scene in scenes]
    maps = np.stack([_maps(scene, 0, at) for scene in scenes])
    pictures = _gather(
        [canvases(layer) for layer in backgrounds], maps, scenes[0], device, "reflection"
    )
    for index, scene in enumerate(scenes):
        for number, layer in enumerate(scene.layers[1:], start=1):
            _lay_over(pictures[index : index + 1], scene, number, canvases(layer), at)
    return pictures / 127.5 - 1


def _maps(scene: Scene, number: int, at: Sequence[int]) -> np.ndarray:
    """From pixels of each frame to pixels of the layer's canvas: (F, 2, 3) float64."""
    motions = scene.motions()[number][list(at)]
    return np.linalg.inv(_square(motions) @ _square(scene.layers[number].placement[None]))[:, :2]


def _square(maps: np.ndarray) -> np.ndarray:
    """(N, 2, 3) to (N, 3, 3)."""
    last = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(maps), 1, 3))
    return np.concatenate([maps, last], axis=1)


def _gather(
    canvases: Sequence[Tensor], maps: np.ndarray, scene: Scene, device: torch.device, beyond: str
) -> Tensor:
    """Canvases (C, Hc, Wc), one a clip, seen through maps (B, F, 2, 3): (B, C, F, H, W) float32,
    whole numbers.

    beyond: what lies outside a canvas, "reflection" (about its edge pixels) or "zeros".
    """
    stacked = torch.stack(list(canvases)).float()
    high, wide = stacked.shape[-2:]
    # -1 and 1 are the edge pixels
    unit = np.array([[2 / (wide - 1), 0, -1], [0, 2 / (high - 1), -1], [0, 0, 1]])
    full = (unit @ _square(maps.reshape(-1, 2, 3)))[:, :2].reshape(maps.shape)
    affine = torch.from_numpy(full).float().to(device)
    rows, columns = (
        torch.arange(scene.height, device=device),
        torch.arange(scene.width, device=device),
    )
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).float()
    grid = torch.einsum("bfij,hwj->bfhwi", affine[..., :2], points) + affine[:, :, None, None, :, 2]
    seen = F.grid_sample(stacked, grid.flatten(1, 2), "bilinear", beyond, align_corners=True)
    return seen.round().unflatten(2, (maps.shape[1], scene.height))


def _lay_over(
    picture: Tensor, scene: Scene, number: int, canvas: Tensor, at: Sequence[int]
) -> None:
    """Draw a layer over the pictures (1, 3, F, H, W), in place, by its alpha."""
    maps = _maps(scene, number, at)[None]
    alpha = torch.from_numpy(scene.layers[number].alpha)[None].to(picture.device)
    opacity = _gather([alpha], maps, scene, picture.device, "zeros") / 255
    above = _gather([canvas], maps, scene, picture.device, "reflection")
    picture.add_((above - picture) * opacity).round_().clamp_(0, 255)
