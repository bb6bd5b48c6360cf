"""The recipe `embedded`: tokenizer, closed-form codes, then decoder and transformer, each on the
final latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.motion.tvl1 import core_count
from src.pipelines.blueprint import Blueprint
from src.pipelines.building import assemble_pipeline, small_of, train_tokenizer
from src.pipelines.families import family_named
from src.pipelines.family import Family
from src.pipelines.learning import Small
from src.pipelines.linear_codes import LinearCodes, fit_codes
from src.pipelines.saving import load_tensors, write_tensors, writing
from src.recipes.embedded.settings import EmbeddedSettings
from src.recipes.scene_source import DrawnScenes, RenderedScenes, SceneSource, to_tensor
from src.scenes.prompts import flaws
from src.scenes.sampler import Mix, SceneSampler, corpus

CODES = "codes.safetensors"
STOCK_TEXT_LENGTH = 226
CPU = torch.device("cpu")


@dataclass(frozen=True)
class PreparedParts:
    """What both stages start from: the untrained pipeline with its final encoder, and the codes it
    computes.
    """

    blueprint: Blueprint
    pipeline: Any
    codes: LinearCodes

    @property
    def family(self) -> Family:
        """What the pipeline is."""
        return family_named(self.blueprint.family)

    @property
    def small(self) -> Small:
        """What is asked of a family whose models are trained whole."""
        return small_of(self.blueprint)


def prepare_parts(blueprint: Blueprint, settings: EmbeddedSettings, folder: Path) -> PreparedParts:
    """Build the pipeline; tokenizer and codes are learned once and then read back from `folder`."""
    pipeline = assemble_pipeline(
        blueprint, [], settings.seed, _tokenizer(blueprint, settings, Path(folder) / "tokenizer")
    )
    file = Path(folder) / CODES
    codes = load_codes(file) if file.is_file() else _fit(blueprint, settings)
    if not file.is_file():
        save_codes(codes, file)
    small = small_of(blueprint)
    small.install(codes, pipeline.vae)
    small.see_frames_alone(pipeline.vae.decoder)
    return PreparedParts(blueprint, pipeline, codes)


def _tokenizer(blueprint: Blueprint, settings: EmbeddedSettings, folder: Path) -> Any:
    """The run's tokenizer: trained once and kept, because another version of its trainer may
    find other pieces.
    """
    from transformers import T5Tokenizer

    if not folder.is_dir():
        learned = train_tokenizer(
            corpus(settings.corpus, settings.seed), blueprint.vocab_size, blueprint.text_length
        )
        with writing(folder, "--folder"):
            learned.save_pretrained(folder)
    return T5Tokenizer.from_pretrained(folder)


def _fit(blueprint: Blueprint, settings: EmbeddedSettings) -> LinearCodes:
    sampler = SceneSampler(blueprint.width, blueprint.height, settings.seed, canvases=60, reuse=2)
    clips = (sampler.clip(i, blueprint.num_frames).scene for i in range(settings.fit_clips))
    pictures = (to_tensor(scene.frames([scene.num_frames // 2]))[:, 0] for scene in clips)
    return fit_codes(pictures, blueprint.vae_channels, blueprint.latent_channels)


def save_codes(codes: LinearCodes, file: Path) -> None:
    """Write the codes as safetensors. Raises OutputError."""
    held = {"basis": codes.basis, "mean": codes.mean, "deviation": codes.deviation}
    write_tensors(held, file, {}, "--folder")


def load_codes(file: Path) -> LinearCodes:
    """Read the codes back."""
    return LinearCodes(**load_tensors(file))


def scenes_of(
    blueprint: Blueprint, settings: EmbeddedSettings, seed: int, block: int, device: torch.device
) -> SceneSource:
    """The scenes of a stage: rendered on a device that is no CPU, with a process for each other
    core.

    block: clips that a step may ask for at most; steps begin at its multiples.
    """
    mix = Mix(**settings.mix)
    sampler = SceneSampler(
        blueprint.width, blueprint.height, seed, mix, settings.canvases, settings.reuse
    )
    if device.type == "cpu":
        return DrawnScenes(sampler, blueprint.num_frames)
    return RenderedScenes(sampler, blueprint.num_frames, block, device, max(1, core_count() - 1))


def without_move(random: np.random.Generator) -> str:
    """No caption, or flaws only, so that a negative prompt takes no side either."""
    return "" if random.random() < 0.5 else flaws(random)


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator of the device, seeded by one draw of the CPU's: large noise is drawn where it is
    used.
    """
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))


def drawn_length(share: float, random: np.random.Generator) -> int | None:
    """What the stock pipeline pads prompts to, for this share of steps; None for the blueprint's
    length.
    """
    return STOCK_TEXT_LENGTH if random.random() < share else None


def token_ids(prepared: PreparedParts, prompts: list[str], length: int | None = None) -> Tensor:
    """(B, S) ids, padded to `length`, or to the blueprint's."""
    length = length or prepared.blueprint.text_length
    options = {
        "padding": "max_length",
        "max_length": length,
        "truncation": True,
        "return_tensors": "pt",
    }
    return prepared.pipeline.tokenizer(prompts, **options).input_ids
