"""What a preview decoder learns from: a model's VAE, and scenes that it encodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.families import family_of
from src.pipelines.locate import role_hash
from src.pipelines.preview_files import PreviewForm
from src.recipes.decoded import read_fast_vae
from src.recipes.preview.settings import PreviewSettings
from src.recipes.scene_source import DrawnScenes
from src.scenes.sampler import Mix, SceneSampler

TRIAL_FRAMES, TRIAL_SIDE = 17, 64
"""Of a video whose latents tell the VAE's ratios: 17 frames are whole groups of 2, 4, 8 and 16."""


@dataclass(frozen=True)
class Taught:
    """A model's VAE. shrink: how much smaller than native the small frames are. cell: pixels of
    native frames that a latent cell is wide and high. sha256: of its weights."""

    vae: Any
    form: PreviewForm
    shrink: int
    sha256: str
    spec: ModelSpec

    @property
    def cell(self) -> int:
        return self.form.cell * self.shrink

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Frames (B, 3, F, H, W) in -1..1 to the mean latents (B, C, f, h, w), clip by clip."""
        first = next(self.vae.parameters())
        means = [self.vae.encode(clip[None].to(first)).latent_dist.mean for clip in video]
        return torch.cat(means).float()

    def small(self, video: Tensor) -> Tensor:
        """The frames as a draft shows them: the mean of each square of pixels."""
        return F.avg_pool3d(video, (1, self.shrink, self.shrink)) if self.shrink > 1 else video


def read_taught(
    spec: ModelSpec, folder: Path, settings: PreviewSettings, device: torch.device
) -> Taught:
    """Load the VAE alone. Raises BadInputError where no preview decoder can be made of it."""
    family = family_of(spec)
    if "optimized" not in family.modes:
        raise BadInputError(
            f"{spec.id} makes no drafts: {family.title} runs as diffusers has it, without our loop"
        )
    vae: nn.Module = read_fast_vae(folder).to(device)
    form = _form(vae, spec, settings)
    return Taught(vae, form, spec.draft_shrink, role_hash(folder, "vae"), spec)


@torch.no_grad()
def _form(vae: Any, spec: ModelSpec, settings: PreviewSettings) -> PreviewForm:
    """The decoder's sizes, from what the VAE makes of a grey video."""
    trial = torch.zeros(1, 3, TRIAL_FRAMES, TRIAL_SIDE, TRIAL_SIDE)
    latents = vae.encode(trial.to(next(vae.parameters()))).latent_dist.mean
    cell, frames = TRIAL_SIDE // latents.shape[-1], (TRIAL_FRAMES - 1) // (latents.shape[2] - 1)
    if cell % spec.draft_shrink:
        raise BadInputError(
            f"a draft of {spec.id} has frames of {spec.draft}, which are not whole pixels of its "
            f"latent cells of {cell}"
        )
    return PreviewForm(
        channels=latents.shape[1], cell=cell // spec.draft_shrink, frames=frames,
        width=settings.width, blocks=settings.blocks,
    )  # fmt: skip


class Clips:
    """Clips of rendered scenes, by index, at the model's native size."""

    def __init__(self, taught: Taught, settings: PreviewSettings, seed: int) -> None:
        self.taught, self.settings, self.seed = taught, settings, seed
        native, mix = taught.spec.native, Mix(photographs=settings.photographs)
        sampler = SceneSampler(
            native.width, native.height, seed, mix, settings.canvases, settings.reuse
        )
        self.num_frames = taught.spec.defaults.num_frames
        self.scenes = DrawnScenes(sampler, self.num_frames)

    @property
    def length(self) -> int:
        """Frames of a clip."""
        form = self.taught.form
        return form.frames * (self.settings.latent_frames - 1) + 1 if form.frames > 1 else 1

    def crops(self, indices: Sequence[int], random: np.random.Generator) -> Tensor:
        """(B, 3, F, H, W) in -1..1: consecutive frames, each clip cut at a corner of a cell."""
        begin = int(random.integers(max(1, self.num_frames - self.length + 1)))
        videos, _ = self.scenes.draw(indices, range(begin, begin + self.length))
        return torch.stack([self._crop(video, random) for video in videos])

    def _crop(self, video: Tensor, random: np.random.Generator) -> Tensor:
        cell, sides = self.taught.cell, []
        for whole in video.shape[2:]:
            side = min(self.settings.crop, whole // cell)
            begin = int(random.integers(whole // cell - side + 1))
            sides.append(slice(begin * cell, (begin + side) * cell))
        return video[:, :, sides[0], sides[1]]
