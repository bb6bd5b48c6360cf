"""The recipe `preview`: small frames from the latents that a model's own VAE makes of scenes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from src.pipelines.preview_decoder import PreviewDecoder, fit_linear
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import Clips, Taught
from src.training.recipe import Recipe


class PreviewRecipe(Recipe):
    """L1 to the scene's own frames, plus the L1 of their differences in space and time.

    decoder: what it begins with; `fitted_decoder` makes one.
    """

    def __init__(self, taught: Taught, settings: PreviewSettings, decoder: PreviewDecoder) -> None:
        self.name = f"preview decoder of {taught.spec.id}"
        self.taught, self.settings = taught, settings
        self.clips = Clips(taught, settings, settings.seed)
        self.identity = {"VAE": taught.sha256, "decoder": taught.form.model_dump_json()}
        self.deviation = decoder.deviation.clone()
        self.model = decoder

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Latents (B, C, f, h, w), with a little noise, and the small frames they stand for."""
        random = np.random.default_rng([self.settings.seed, 7, step])
        first, count = step * self.settings.clips, self.settings.clips
        video = self.clips.crops(range(first, first + count), random)
        latents, seed = self.taught.encode(video), int(random.integers(2**62))
        return self._noised(latents, seed), self.taught.small(video)

    def _noised(self, latents: Tensor, seed: int) -> Tensor:
        """As of a denoiser that is not perfect; how much differs from clip to clip."""
        draw = torch.Generator().manual_seed(seed)
        level = self.settings.noise * torch.rand(len(latents), 1, 1, 1, 1, generator=draw)
        noise = torch.randn(latents.shape, generator=draw) * self.deviation[:, None, None, None]
        return latents + (level * noise).to(latents)

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        latents, wanted = batch
        made = self.model(latents).float()
        axes = [axis for axis in (2, 3, 4) if made.shape[axis] > 1]
        edges = sum(F.l1_loss(made.diff(dim=axis), wanted.diff(dim=axis)) for axis in axes)
        return F.l1_loss(made, wanted) + self.settings.edges * edges


def fitted_decoder(taught: Taught, settings: PreviewSettings) -> PreviewDecoder:
    """A new decoder: the linear map that is nearest to the frames of some scenes."""
    torch.manual_seed(settings.seed)
    decoder, clips = PreviewDecoder(taught.form), Clips(taught, settings, settings.seed + 1)
    pairs = []
    for index in range(settings.fit_clips):
        video = clips.crops([index], np.random.default_rng([settings.seed, 8, index]))
        pairs.append((taught.encode(video), taught.small(video)))
    fit_linear(decoder, pairs)
    return decoder
