"""The recipe `embedded`, stage `decoder`: pixels from the codes of single frames."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.recipes.embedded.parts import CPU, PreparedParts, on_device, scenes_of
from src.recipes.embedded.settings import DecoderStage, EmbeddedSettings
from src.training.recipe import Recipe


class Decoding(nn.Module):
    """The decoder as a module whose forward is the stock piecewise decode."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.decoder = vae.decoder
        self._decode = vae.decode

    def forward(self, latents: Tensor) -> Tensor:
        return self._decode(latents).sample


class DecoderRecipe(Recipe):
    """Pixels from the codes of single frames: L1 plus the L1 of spatial differences, on crops."""

    name = "decoder"

    def __init__(
        self,
        prepared: PreparedParts,
        stage: DecoderStage,
        settings: EmbeddedSettings,
        device: torch.device = CPU,
    ) -> None:
        self.stage, self.seed, self.device = stage, settings.seed + 1, device
        self.codes, self.frames = prepared.codes.to(device), prepared.blueprint.num_frames
        self.scenes = scenes_of(prepared.blueprint, settings, self.seed, stage.crops, device)
        prepared.family.loop.speed_up_vae(prepared.pipeline.vae)
        prepared.small.use_frames_alone(prepared.pipeline.vae.decoder)
        self.model = Decoding(prepared.pipeline.vae)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Latents (B, K, 1, h, w) and the pixels (B, 3, 1, H, W) they stand for."""
        random = np.random.default_rng([self.seed, 6, step])
        first, count = step * self.stage.crops, self.stage.crops
        videos, _ = self.scenes.draw(
            range(first, first + count), [int(random.integers(self.frames))]
        )
        pixels = torch.stack([self._crop(video, random) for video in videos])
        return self.codes.encode(pixels), pixels

    def _crop(self, video: Tensor, random: np.random.Generator) -> Tensor:
        """(3, 1, H, W) to a part of it, whose corner is a cell's."""
        height, width, cell = self.stage.crop_height, self.stage.crop_width, self.codes.side
        top = cell * int(random.integers((video.shape[2] - height) // cell + 1))
        left = cell * int(random.integers((video.shape[3] - width) // cell + 1))
        return video[:, :, top : top + height, left : left + width]

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        """The generator draws the noise that the decoder learns to bear from an imperfect
        transformer.
        """
        latents, pixels = batch
        draw = on_device(generator, latents.device)
        level = self.stage.code_noise * torch.rand(
            len(latents), 1, 1, 1, 1, generator=draw, device=latents.device
        )
        noisy = latents + level * torch.randn(latents.shape, generator=draw, device=latents.device)
        decoded = self.model(noisy.to(memory_format=torch.channels_last_3d)).float()
        edges = sum(F.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis)) for axis in (3, 4))
        return F.l1_loss(decoded, pixels) + self.stage.gradient_weight * edges

    def close(self) -> None:
        """End what paints the scenes."""
        self.scenes.close()
