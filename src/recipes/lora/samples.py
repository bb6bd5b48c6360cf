"""Clips of an adapter in training, by the stock pipeline: the same photographs, prompts and seeds every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from src.catalog.spec import ModelSpec
from src.media.writer import VideoWriter
from src.pipelines.families import family_of
from src.pipelines.family import parts_of
from src.pipelines.loading import DTYPES, read_pipeline
from src.pipelines.memory import release
from src.pipelines.roles import vae_of
from src.recipes.lora.encoding import read_pixels
from src.recipes.lora.encoding_cache import Encoders, EncodingCache
from src.recipes.lora.layers import trained_part
from src.recipes.lora.recipe import Item
from src.recipes.lora.settings import Samples


@dataclass(frozen=True)
class SampleMaker:
    """Makes sample clips with a transformer in training; loads the VAE for that and drops it afterwards."""

    folder: Path
    spec: ModelSpec
    encoders: Encoders
    cache: EncodingCache
    samples: Samples

    def clips(self, transformer: Any, items: Sequence[Item], device: torch.device) -> list[np.ndarray]:
        """One clip (F, H, W, 3) uint8 an item."""
        family = family_of(self.spec)
        names = [part.name for part in parts_of(family, "vae")]
        pipe = read_pipeline(self.folder, DTYPES[self.encoders.dtype], names)
        vae = vae_of(family, pipe)
        family.loop.speed_up_vae(vae)
        vae.to(device)
        setattr(pipe, trained_part(self.spec), transformer)
        was_training = transformer.training
        transformer.eval()
        try:
            return [self._clip(pipe, item, device) for item in items]
        finally:
            transformer.train(was_training)
            del pipe
            release()

    def _clip(self, pipe: Any, item: Item, device: torch.device) -> np.ndarray:
        size, defaults = item.source.sampling, self.spec.defaults
        embeds = {text: self._embeds(text, device) for text in (item.prompt, "")}
        scale = self.samples.guidance_scale
        with torch.no_grad():
            frames = pipe(
                image=Image.fromarray(read_pixels(item.source)[1]), prompt_embeds=embeds[item.prompt],
                negative_prompt_embeds=embeds[""], height=size.height, width=size.width, num_frames=size.num_frames,
                num_inference_steps=self.samples.num_inference_steps or defaults.num_inference_steps,
                guidance_scale=defaults.guidance_scale if scale is None else scale, output_type="np",
                generator=torch.Generator().manual_seed(self.samples.seed),
            ).frames[0]  # fmt: skip
        return np.rint(frames * 255).astype(np.uint8)

    def _embeds(self, text: str, device: torch.device) -> torch.Tensor:
        return self.cache.read(self.encoders.text_address(text))["embeds"][None].to(device)


def write_sample(path: Path, frames: np.ndarray, fps: float) -> Path:
    """The clip as an MP4."""
    with VideoWriter(path, frames.shape[2], frames.shape[1], fps, "--output-dir") as writer:
        for frame in frames:
            writer.write(frame)
        return writer.commit()
