"""Clips that nothing was trained on, decoded by VAE and by preview decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.progress import CancelToken, ignore
from src.engine.probe import probe
from src.evaluation.embedded import read_photographs
from src.media.images import fit_photograph
from src.metrics.psnr import psnr
from src.metrics.sharpness import structure
from src.pipelines.pixels import to_uint8
from src.pipelines.preview_decoder import PreviewDecoder, decode_preview, load_preview
from src.pipelines.preview_files import read_preview
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import Taught, read_taught
from src.recipes.scene_source import to_tensor
from src.scenes.moves import named_move
from src.scenes.sampler import Mix, SceneSampler
from src.scenes.scene import Layer, Scene

SEED = 4711
"""Of scenes that no recipe draws."""
HALF = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
"""Where a photograph of twice the native size lies under the first frame."""


@dataclass(frozen=True)
class PreviewRow:
    """One clip. PSNR in dB and SSIM over all frames, of draft size; seconds of both decodes."""

    scene: str
    vae_to_scene: float
    preview_to_scene: float
    preview_to_vae: float
    structure: float
    vae_s: float
    preview_s: float

    @property
    def figures(self) -> tuple[float, ...]:
        return astuple(self)[1:]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measured(
    spec: ModelSpec, folder: Path, scenes: int, frames: int
) -> tuple[list[PreviewRow], str]:
    """The rows, and a sentence that says what was measured where. The first clip is decoded once
    more, unmeasured, before.

    Raises BadInputError where the model has no preview decoder, or a VAE that is told a timestep.
    """
    hardware, file = probe("auto"), read_preview(folder)
    device = torch.device(hardware.device)
    taught = read_taught(spec, folder, PreviewSettings(), device)
    if getattr(taught.vae.config, "timestep_conditioning", False):
        raise BadInputError(f"the VAE of {spec.id} is told a timestep; it is not measured here")
    decoder, rows = load_preview(file, hardware.device), []
    for name, clip in _clips(spec, scenes, frames):
        if not rows:
            _row(name, clip, taught, decoder)
        rows.append(_row(name, clip, taught, decoder))
    return rows, _about(spec, file.path, frames, hardware)


def _about(spec: ModelSpec, file: Path, frames: int, hardware: Hardware) -> str:
    return (
        f"Measured on {hardware.name}, {torch.get_num_threads()} thread(s): {frames} frames of "
        f"{spec.id}, {spec.native}, drafts {spec.draft}; the\ndecoder's file has "
        f"{file.stat().st_size / 1000:.0f} kB."
    )


def _clips(spec: ModelSpec, scenes: int, frames: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names, and frames (F, H, W, 3) uint8 at native size."""
    size = spec.native
    for name, pixels in read_photographs(None):
        large = np.array(fit_photograph(pixels, 2 * size.width, 2 * size.height, "cover"))
        move = named_move("pan left", "medium")
        yield name, Scene((Layer(large, HALF),), move, size.width, size.height, frames).frames()
    sampler = SceneSampler(size.width, size.height, SEED, Mix(photographs=0.0), canvases=scenes)
    for index in range(scenes):
        yield f"scene {index + 1}", sampler.clip(index, frames).scene.frames()


@torch.no_grad()
def _row(name: str, clip: np.ndarray, taught: Taught, decoder: PreviewDecoder) -> PreviewRow:
    video = to_tensor(clip)[None]
    latents = taught.encode(video)
    began = time.perf_counter()
    full = taught.vae.decode(latents.to(next(taught.vae.parameters()))).sample.float().cpu()
    middle = time.perf_counter()
    preview = np.concatenate(list(decode_preview(decoder, latents, ignore, CancelToken())))
    seconds = (middle - began, time.perf_counter() - middle)
    wanted, reference = _small(taught, video), _small(taught, full)
    similar = [structure(a, b) for a, b in zip(preview, reference, strict=True)]
    return PreviewRow(
        name, psnr(reference, wanted), psnr(preview, wanted), psnr(preview, reference),
        float(np.mean(similar)), *seconds,
    )  # fmt: skip


def _small(taught: Taught, video: Tensor) -> np.ndarray:
    return to_uint8(taught.small(video.clamp(-1, 1)))
