"""Single pictures through the video networks, several in one forward: each is a video of one frame
that stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from src.core.errors import NotFiniteError
from src.core.finite import is_finite
from src.core.upscale_request import EnhanceSettings
from src.upscaling.network import pad_to_grid
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.runtime import NetworkRunner

PLAIN = EnhanceSettings()


def enlarge_stills(backend: NetworkBackend, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(H, W, 3) uint8 each, of any sizes, to (sH, sW, 3) uint8, in order. Those of one size share
    forwards, as many as the backend's budget holds.

    Raises NotFiniteError.
    """
    made: dict[int, np.ndarray] = {}
    for places in _by_size(pictures):
        sources = np.stack([pictures[place] for place in places]).astype(np.float32) / 255
        for place, source, large in zip(places, sources, _through(backend, sources), strict=True):
            finished = backend.finish(large, source, PLAIN)
            made[place] = np.clip(np.rint(finished * 255), 0, 255).astype(np.uint8)
    return [made[place] for place in range(len(pictures))]


def _by_size(pictures: Sequence[np.ndarray]) -> list[list[int]]:
    """Places of pictures of one size."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, picture in enumerate(pictures):
        found.setdefault(picture.shape, []).append(place)
    return list(found.values())


def _through(backend: NetworkBackend, frames: np.ndarray) -> np.ndarray:
    """All passes: (N, H, W, 3) to (N, sH, sW, 3) float32."""
    for runner in backend.runners:
        frames = np.concatenate([_pass(runner, part) for part in _parts(runner, frames)])
    return frames


def _parts(runner: NetworkRunner, frames: np.ndarray) -> list[np.ndarray]:
    """As many at once as fit: at least one, which is cut into tiles where it is too large."""
    height, width = frames.shape[1:3]
    most = max(1, runner.batch(height, width).pixels // (height * width))
    return [frames[begin : begin + most] for begin in range(0, len(frames), most)]


@torch.inference_mode()
def _pass(runner: NetworkRunner, frames: np.ndarray) -> np.ndarray:
    """One network over (N, H, W, 3) float32 in [0, 1]."""
    height, width, scale = *frames.shape[1:3], runner.spec.scale
    if height * width > runner.batch(height, width).pixels:
        return next(iter(runner.run(frames, 0, 0, (0.0, 0.0))))
    given = torch.from_numpy(frames).to(runner.device).permute(0, 3, 1, 2)
    clip = pad_to_grid(given[None], runner.spec.grid)[0]
    large = _forward(runner, clip)[..., : height * scale, : width * scale]
    if not is_finite(large):
        raise NotFiniteError("an enlarged picture is not finite; the weights are likely damaged")
    return large.permute(0, 2, 3, 1).float().cpu().numpy()


def _forward(runner: NetworkRunner, clip: Tensor) -> Tensor:
    """Features and decoding of N pictures, each its own neighbour in time."""
    told = torch.zeros(len(clip), 2, device=runner.device)
    x, aligned = runner.form.features(clip.repeat(1, 3, 1, 1), told)
    return runner.form.decode(clip, x, (aligned, aligned, aligned), told)
