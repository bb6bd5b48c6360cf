"""The recipe `embedded`: tokenizer, closed-form codes, then decoder and transformer, each on the final latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.pipelines.blueprint import Blueprint, assemble, train_tokenizer
from src.pipelines.fast_vae import make_fast
from src.scenes.moves import PAN, PUSH, ROLL, TILT, Move
from src.scenes.prompts import flaws
from src.scenes.sampler import Mix, SceneSampler, corpus
from src.training.codes import POSTERIOR_LOGVAR, LinearCodes, fit, install
from src.training.objective import image_condition, image_noise, noised, velocity, velocity_loss
from src.training.settings import DecoderStage, EmbeddedSettings, Stage, TextStage, TransformerStage

CODES = "codes.safetensors"


@dataclass(frozen=True)
class Prepared:
    """What both stages start from: the untrained pipeline with its final encoder, and the codes it computes."""

    blueprint: Blueprint
    pipeline: Any
    codes: LinearCodes


def prepare(blueprint: Blueprint, settings: EmbeddedSettings, folder: Path) -> Prepared:
    """Build the pipeline; tokenizer and codes are learned once and then read back from `folder`."""
    pipeline = assemble(blueprint, [], settings.seed, _tokenizer(blueprint, settings, Path(folder) / "tokenizer"))
    file = Path(folder) / CODES
    codes = load_codes(file) if file.is_file() else _fit(blueprint, settings)
    if not file.is_file():
        save_codes(codes, file)
    install(codes, pipeline.vae)
    return Prepared(blueprint, pipeline, codes)


def _tokenizer(blueprint: Blueprint, settings: EmbeddedSettings, folder: Path) -> Any:
    """The run's tokenizer: trained once and kept, because its trainer may number pieces otherwise the next time."""
    from transformers import T5Tokenizer

    if not folder.is_dir():
        learned = train_tokenizer(corpus(settings.corpus, settings.seed), blueprint.vocab_size, blueprint.text_length)
        learned.save_pretrained(folder)
    return T5Tokenizer.from_pretrained(folder)


def _fit(blueprint: Blueprint, settings: EmbeddedSettings) -> LinearCodes:
    sampler = SceneSampler(blueprint.width, blueprint.height, settings.seed, canvases=60, reuse=2)
    frames = min(17, blueprint.num_frames)
    clips = (to_tensor(sampler.clip(i, frames).scene.frames())[None] for i in range(settings.fit_clips))
    return fit(clips, blueprint.vae_channels, blueprint.latent_channels)


def save_codes(codes: LinearCodes, file: Path) -> None:
    """Write the codes as safetensors."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"stage_{i}": stage.contiguous() for i, stage in enumerate(codes.stages)}
    save_file(tensors | {"mean": codes.mean, "deviation": codes.deviation}, file)


def load_codes(file: Path) -> LinearCodes:
    """Read the codes back."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    stages = (tensors["stage_0"], tensors["stage_1"], tensors["stage_2"])
    return LinearCodes(stages, tensors["mean"], tensors["deviation"])


def to_tensor(frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (3, F, H, W) float32 in -1..1."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


class Clips:
    """Training clips by step: how many frames, how many clips, and which."""

    def __init__(self, blueprint: Blueprint, stage: Stage, settings: EmbeddedSettings, seed: int) -> None:
        self.stage, self.seed = stage, seed
        self.sampler = SceneSampler(
            blueprint.width, blueprint.height, seed, Mix(**settings.mix), settings.canvases, reuse=4
        )
        self.most = max(stage.batches.values())

    def draw(self, step: int) -> tuple[list[Tensor], list[str]]:
        """Videos (3, F, H, W) in -1..1, all of one length, and their prompts."""
        random = np.random.default_rng([self.seed, 5, step])
        weights = self.stage.lengths(step)
        length = int(random.choice(list(weights), p=np.array(list(weights.values())) / sum(weights.values())))
        clips = [self.sampler.clip(step * self.most + k, length) for k in range(self.stage.batches[length])]
        return [to_tensor(clip.scene.frames()) for clip in clips], [clip.prompt for clip in clips]


class Decoding(nn.Module):
    """The decoder as a module whose forward is the stock piecewise decode."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.decoder = vae.decoder
        self._decode = vae.decode

    def forward(self, latents: Tensor) -> Tensor:
        return self._decode(latents).sample


class DecoderRecipe:
    """Pixels from codes: L1 plus the L1 of spatial and temporal differences, on crops."""

    name = "decoder"

    def __init__(self, prepared: Prepared, stage: DecoderStage, settings: EmbeddedSettings) -> None:
        self.prepared, self.stage = prepared, stage
        self.clips = Clips(prepared.blueprint, stage, settings, settings.seed + 1)
        make_fast(prepared.pipeline.vae)
        self.model = Decoding(prepared.pipeline.vae)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Latents (B, K, T, h, w) and the pixels (B, 3, F, H, W) they stand for."""
        random = np.random.default_rng([self.clips.seed, 6, step])
        crops = [self._crop(video, random) for video in self.clips.draw(step)[0]]
        pixels = torch.stack(crops)
        return self.prepared.codes.encode(pixels), pixels

    def _crop(self, video: Tensor, random: np.random.Generator) -> Tensor:
        height, width = self.stage.crop_height, self.stage.crop_width
        top = 8 * int(random.integers((video.shape[2] - height) // 8 + 1))
        left = 8 * int(random.integers((video.shape[3] - width) // 8 + 1))
        return video[:, :, top : top + height, left : left + width]

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        """The generator draws the noise that the decoder learns to bear from an imperfect transformer."""
        latents, pixels = batch
        level = self.stage.code_noise * torch.rand(len(latents), 1, 1, 1, 1, generator=generator)
        noisy = latents + (level * torch.randn(latents.shape, generator=generator)).to(latents)
        decoded = self.model(noisy.to(memory_format=torch.channels_last_3d)).float()
        loss = F.l1_loss(decoded, pixels)
        edges = sum(F.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis)) for axis in (2, 3, 4))
        return loss + self.stage.gradient_weight * edges


class NamingMoves(nn.Module):
    """The text encoder with a linear read-out of the move from the mean of its tokens."""

    def __init__(self, text_encoder: nn.Module, answers: int) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.read_out = nn.Linear(text_encoder.config.d_model, answers)

    def forward(self, ids: Tensor) -> Tensor:
        return self.read_out(self.text_encoder(ids)[0].mean(dim=1))


class TextRecipe:
    """Prompts to moves: mean squared error of pan, tilt, push and roll, each in units of its medium speed.

    The read-out is thrown away. What stays is a text encoder that tells moves and speeds apart before the
    transformer learns to carry them out; trained together from nothing, the prompts collapsed to one embedding.
    """

    name = "text"

    def __init__(self, prepared: Prepared, stage: TextStage, settings: EmbeddedSettings) -> None:
        self.prepared, self.stage, self.seed = prepared, stage, settings.seed + 3
        self.sampler = SceneSampler(prepared.blueprint.width, prepared.blueprint.height, self.seed)
        self.model = NamingMoves(prepared.pipeline.text_encoder, 5)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Token ids (B, S) and the moves they name (B, 5); every tenth caption is dropped or a list of flaws."""
        count = self.stage.prompts
        drawn = [self.sampler.wording(step * count + k) for k in range(count)]
        random = np.random.default_rng([self.seed, 8, step])
        kept = random.random(count) >= 0.1
        prompts = [text if keep else without_move(random) for (_, text), keep in zip(drawn, kept, strict=True)]
        moves = [amounts(move) if keep else (0.0,) * 5 for (move, _), keep in zip(drawn, kept, strict=True)]
        return token_ids(self.prepared, prompts), torch.tensor(moves, dtype=torch.float32)

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        ids, moves = batch
        return F.mse_loss(self.model(ids).float(), moves)


def amounts(move: Move) -> tuple[float, ...]:
    """Pan, tilt, push and roll in units of the medium speed, and 1 for a camera that moves by hand."""
    return move.pan / PAN, move.tilt / TILT, move.push / PUSH, move.roll / ROLL, float(move.handheld > 0)


def without_move(random: np.random.Generator) -> str:
    """No caption, or flaws only, so that a negative prompt takes no side either."""
    return "" if random.random() < 0.5 else flaws(random)


def token_ids(prepared: Prepared, prompts: list[str]) -> Tensor:
    """(B, S) ids, padded to the blueprint's length."""
    length = prepared.blueprint.text_length
    options = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    return prepared.pipeline.tokenizer(prompts, **options).input_ids


class Denoising(nn.Module):
    """Text encoder and transformer as one module."""

    def __init__(self, text_encoder: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.text_encoder, self.transformer = text_encoder, transformer

    def forward(self, noisy: Tensor, condition: Tensor, ids: Tensor, timesteps: Tensor, rotary: Any) -> Tensor:
        """The predicted velocity (B, F, C, h, w). No attention mask: the pipeline gives none either."""
        text = self.text_encoder(ids)[0]
        joined = torch.cat([noisy, condition], dim=2)
        return self.transformer(joined, text, timesteps, image_rotary_emb=rotary, return_dict=False)[0]


class TransformerRecipe:
    """The CogVideoX image-to-video objective on the codes (src/training/objective.py)."""

    name = "transformer"

    def __init__(self, prepared: Prepared, stage: TransformerStage, settings: EmbeddedSettings) -> None:
        self.prepared, self.stage = prepared, stage
        self.clips = Clips(prepared.blueprint, stage, settings, settings.seed + 2)
        pipeline = prepared.pipeline
        self.model = Denoising(pipeline.text_encoder, pipeline.transformer)
        self.model.train()
        self.alphas = pipeline.scheduler.alphas_cumprod

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Clean latents (B, T, K, h, w), latents of the noised photograph (B, 1, K, h, w) and token ids (B, S)."""
        videos, prompts = self.clips.draw(step)
        random = np.random.default_rng([self.clips.seed, 8, step])
        prompts = [self._dropped(prompt, random) for prompt in prompts]
        pixels = torch.stack(videos)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        codes = self.prepared.codes
        image = codes.encode(image_noise(pixels[:, :, :1], generator))
        clean = codes.encode(pixels)
        clean += float(np.exp(POSTERIOR_LOGVAR / 2)) * torch.randn(clean.shape, generator=generator)
        return clean.transpose(1, 2), image.transpose(1, 2), token_ids(self.prepared, prompts)

    def _dropped(self, prompt: str, random: np.random.Generator) -> str:
        return prompt if random.random() >= self.stage.caption_dropout else without_move(random)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> Tensor:
        clean, image, ids = batch
        device = clean.device
        timesteps = self._timesteps(len(clean), generator).to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        kept = (torch.rand(len(clean), generator=generator) >= self.stage.image_dropout).to(device)
        noisy = noised(clean, noise, self.alphas, timesteps)
        condition = image_condition(image, clean.shape[1], kept)
        predicted = self.model(noisy, condition, ids, timesteps, self._rotary(clean.shape[1], device))
        return velocity_loss(predicted, velocity(clean, noise, self.alphas, timesteps))

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform, but for a share from the upper third, where nothing but the prompt tells the move."""
        steps = len(self.alphas)
        timesteps = torch.randint(0, steps, (count,), generator=generator)
        upper = torch.randint(steps * 2 // 3, steps, (count,), generator=generator)
        return torch.where(torch.rand(count, generator=generator) < self.stage.high_noise, upper, timesteps)

    def _rotary(self, latent_frames: int, device: torch.device) -> Any:
        """The positions that the pipeline gives these tokens: cosines and sines (N, D)."""
        size = self.prepared.blueprint
        return self.prepared.pipeline._prepare_rotary_positional_embeddings(
            size.height, size.width, latent_frames, device
        )


RECIPES = {"decoder": DecoderRecipe, "text": TextRecipe, "transformer": TransformerRecipe}
