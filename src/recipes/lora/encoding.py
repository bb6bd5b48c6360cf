"""Encodes what the cache lacks, with VAE and text encoder in memory only as long as that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.core.progress import Listener, Progress, ignore
from src.media.clips import Sampling, read_clip
from src.media.images import fit_photograph, read_photograph
from src.pipelines.families import family_of_folder
from src.pipelines.family import Family, Role, parts_of
from src.pipelines.loading import DTYPES, read_pipeline
from src.pipelines.memory import release
from src.pipelines.roles import vae_of
from src.recipes.lora.buckets import sample_seed
from src.recipes.lora.encoding_cache import Encoders, EncodingCache
from src.recipes.lora.image_noise import image_noise
from src.recipes.scene_source import to_tensor


@dataclass(frozen=True)
class ClipSource:
    """One clip as it will be trained on. key: its address in the cache."""

    name: str
    video: Path
    image: Path | None
    sampling: Sampling
    key: str


@dataclass(frozen=True)
class Share:
    """The part of a work list that one of several processes does."""

    index: int = 0
    count: int = 1

    def of(self, items: Sequence[Any]) -> list[Any]:
        return list(items[self.index :: self.count])


def encode_clips(
    folder: Path, clips: Sequence[ClipSource], noises: int, dtype: str, device: torch.device,
    cache: EncodingCache, listener: Listener = ignore,
) -> int:  # fmt: skip
    """Encode the clips that the cache lacks; returns how many. The VAE is not loaded where none is
    lacking.
    """
    missing = list({clip.key: clip for clip in clips if not cache.has(clip.key)}.values())
    if not missing:
        return 0
    family = family_of_folder(folder)
    vae = vae_of(family, _load(family, folder, "vae", dtype, device))
    for number, clip in enumerate(missing, start=1):
        pixels, image = read_pixels(clip)
        cache.write(clip.key, encode_clip(vae, pixels, image, noises, clip.key))
        listener(Progress("latents", number, len(missing)))
    del vae
    release()
    return len(missing)


def encode_texts(
    folder: Path, prompts: Sequence[str], encoders: Encoders, device: torch.device,
    cache: EncodingCache, listener: Listener = ignore,
) -> int:  # fmt: skip
    """Encode the captions that the cache lacks; returns how many."""
    missing = [
        text for text in dict.fromkeys(prompts) if not cache.has(encoders.text_address(text))
    ]
    if not missing:
        return 0
    family = family_of_folder(folder)
    pipe = _load(family, folder, "text", encoders.dtype, device)
    for number, prompt in enumerate(missing, start=1):
        embeds = embed_prompt(pipe, prompt, encoders.text_length, device, family)
        cache.write(encoders.text_address(prompt), {"embeds": embeds})
        listener(Progress("captions", number, len(missing)))
    del pipe
    release()
    return len(missing)


def _load(family: Family, folder: Path, role: Role, dtype: str, device: torch.device) -> Any:
    pipe = read_pipeline(folder, DTYPES[dtype], [part.name for part in parts_of(family, role)])
    pipe.to(device)
    return pipe


@torch.no_grad()
def embed_prompt(
    pipe: Any, prompt: str, length: int, device: torch.device, family: Family
) -> Tensor:
    """(S, D) as the family's objective takes it."""
    assert family.training is not None
    return family.training.embed(pipe, prompt, length, device)


def read_pixels(clip: ClipSource) -> tuple[np.ndarray, np.ndarray]:
    """The clip (F, H, W, 3) and its first frame (H, W, 3), uint8."""
    frames = read_clip(clip.video, clip.sampling)
    if clip.image is None:
        return frames, frames[0]
    size = clip.sampling
    return frames, np.array(
        fit_photograph(read_photograph(clip.image).pixels, size.width, size.height, "cover")
    )


@torch.no_grad()
def encode_clip(
    vae: Any, frames: np.ndarray, image: np.ndarray, noises: int, key: str
) -> dict[str, Tensor]:
    """mean, logvar (T, C, h, w) of the clip's posterior, unscaled, and `images` (K, C, h, w).

    images: K encodings of the first frame, each with a noise of its own in pixel space, sampled.
    What is drawn for them is keyed by the address, so that every machine caches the same.
    """
    first = next(vae.parameters())
    posterior = vae.encode(to_tensor(frames)[None].to(first)).latent_dist
    generator = torch.Generator().manual_seed(sample_seed(key))
    pixels = to_tensor(image[None])[None]
    images = [noisy_image(vae, pixels, generator) for _ in range(noises)]
    turned = {"mean": posterior.mean, "logvar": posterior.logvar}
    return {name: value[0].transpose(0, 1) for name, value in turned.items()} | {
        "images": torch.stack(images)
    }


def noisy_image(vae: Any, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """(C, h, w): pixels (1, 3, 1, H, W) with image noise, encoded and sampled; drawn on the CPU."""
    first = next(vae.parameters())
    posterior = vae.encode(image_noise(pixels, generator).to(first)).latent_dist
    return sample_latents(posterior.mean, posterior.logvar, generator)[0, :, 0]


def sample_latents(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from the posterior, with noise from a CPU generator."""
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    return mean + (0.5 * logvar).exp() * noise
