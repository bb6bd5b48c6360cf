"""Clips of an adapter in training, by the stock pipeline: the same photographs, prompts and seeds
every time.

They go the road of every clip (`src/engine/render.py`), with the transformer that is trained and
the prompts that were encoded for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.catalog.spec import ModelSpec
from src.core.plan import Plan, SessionKey, Size
from src.engine.render import render_clip
from src.engine.session import Session
from src.media.writer import VideoWriter
from src.pipelines.families import family_of
from src.pipelines.family import parts_of
from src.pipelines.loading import DTYPES, read_pipeline
from src.pipelines.roles import vae_of
from src.recipes.lora.encoding import read_pixels
from src.recipes.lora.encoding_cache import Encoders, EncodingCache
from src.recipes.lora.layers import trained_part, training_of
from src.recipes.lora.recipe import Item
from src.recipes.lora.settings import Samples
from src.upscaling.files import LANCZOS


@dataclass(frozen=True)
class SampleMaker:
    """Makes sample clips with a transformer in training; loads the VAE for that and drops it
    afterwards.
    """

    folder: Path
    spec: ModelSpec
    encoders: Encoders
    cache: EncodingCache
    samples: Samples

    def clips(
        self, transformer: Any, items: Sequence[Item], device: torch.device
    ) -> list[np.ndarray]:
        """One clip (F, H, W, 3) uint8 an item."""
        session = Session(
            self._key(device), self.folder, lambda *_: self._pipeline(transformer, device)
        )
        try:
            with _evaluating(transformer):
                return [
                    render_clip(read_pixels(item.source)[1], self.plan(item, device), session)
                    for item in items
                ]
        finally:
            session.unload()

    def plan(self, item: Item, device: torch.device) -> Plan:
        """What is run for an item: stock, at the size of its bucket."""
        sampling, defaults, scale = (
            item.source.sampling,
            self.spec.defaults,
            self.samples.guidance_scale,
        )
        steps = self.samples.num_inference_steps or defaults.num_inference_steps
        size = Size(width=sampling.width, height=sampling.height)
        sized = self.spec.model_copy(update={"native": size})
        visited = family_of(sized).timesteps(steps, sized, True, sampling.num_frames)
        return Plan(
            mode="baseline", profile="exact", session=self._key(device), weights={},
            image_sha256="", fit="cover", prompt=item.prompt, negative_prompt="",
            max_sequence_length=self.spec.max_sequence_length, scheduler="checkpoint",
            timesteps=visited.timesteps, sigmas=visited.sigmas,
            guidance=(defaults.guidance_scale if scale is None else scale,) * steps,
            num_frames=sampling.num_frames, fps=sampling.fps, native=size, delivered=size,
            upscaler=LANCZOS, seed=self.samples.seed, score=False,
        )  # fmt: skip

    def _key(self, device: torch.device) -> SessionKey:
        return SessionKey(model=self.spec.id, source=self.spec.source, device=device.type,
                          dtype=self.encoders.dtype, family=self.spec.family)  # fmt: skip

    def _pipeline(self, transformer: Any, device: torch.device) -> Any:
        """The VAE from the folder, the transformer as it is, and prompts from the cache."""
        family = family_of(self.spec)
        names = [part.name for part in parts_of(family, "vae")]
        pipe = read_pipeline(self.folder, DTYPES[self.encoders.dtype], names)
        vae = vae_of(family, pipe)
        family.loop.speed_up_vae(vae)
        vae.to(device)
        setattr(pipe, trained_part(self.spec), transformer)
        read = partial(self._embeds, device=device)
        pipe.encode_prompt = training_of(self.spec).embedded(read)
        return pipe

    def _embeds(self, text: str, device: torch.device) -> torch.Tensor:
        return self.cache.read(self.encoders.text_address(text))["embeds"][None].to(device)


@contextmanager
def _evaluating(transformer: Any) -> Iterator[None]:
    """Without dropout meanwhile."""
    was_training = transformer.training
    transformer.eval()
    try:
        yield
    finally:
        transformer.train(was_training)


def write_sample(path: Path, frames: np.ndarray, fps: float) -> Path:
    """The clip as an MP4."""
    with VideoWriter(path, frames.shape[2], frames.shape[1], fps, "--output-dir") as writer:
        for frame in frames:
            writer.write(frame)
        return writer.commit()
