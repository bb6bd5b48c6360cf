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
from src.pipelines.fast_vae import make_fast, use_frames_alone
from src.scenes.moves import PAN, PUSH, ROLL, TILT, Move
from src.scenes.prompts import flaws
from src.scenes.sampler import Clip, Mix, SceneSampler, corpus
from src.training.codes import POSTERIOR_LOGVAR, LinearCodes, fit, install
from src.training.objective import image_condition, image_noise, noised, sample_losses, target, weights
from src.training.settings import DecoderStage, EmbeddedSettings, TextStage, TransformerStage

CODES = "codes.safetensors"
STOCK_TEXT_LENGTH = 226


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
    see_frames_alone(pipeline.vae.decoder)
    return Prepared(blueprint, pipeline, codes)


@torch.no_grad()
def see_frames_alone(decoder: nn.Module) -> None:
    """Silence, in place, what a decoder's 3D convolutions take from earlier frames.

    Codes of one frame say all there is to know of it, and a decoder without memory costs a third. The taps that are
    left grow by the square root of how many there were: features keep the variance that they were initialised for.
    """
    for name, module in decoder.named_modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1 and name.endswith("conv"):
            module.weight[:, :, -1] *= module.kernel_size[0] ** 0.5
            module.weight[:, :, :-1] = 0.0


def _tokenizer(blueprint: Blueprint, settings: EmbeddedSettings, folder: Path) -> Any:
    """The run's tokenizer: trained once and kept, because its trainer may number pieces otherwise the next time."""
    from transformers import T5Tokenizer

    if not folder.is_dir():
        learned = train_tokenizer(corpus(settings.corpus, settings.seed), blueprint.vocab_size, blueprint.text_length)
        learned.save_pretrained(folder)
    return T5Tokenizer.from_pretrained(folder)


def _fit(blueprint: Blueprint, settings: EmbeddedSettings) -> LinearCodes:
    sampler = SceneSampler(blueprint.width, blueprint.height, settings.seed, canvases=60, reuse=2)
    clips = (sampler.clip(i, blueprint.num_frames).scene for i in range(settings.fit_clips))
    pictures = (to_tensor(scene.frames([scene.num_frames // 2]))[:, 0] for scene in clips)
    return fit(pictures, blueprint.vae_channels, blueprint.latent_channels)


def save_codes(codes: LinearCodes, file: Path) -> None:
    """Write the codes as safetensors."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({"basis": codes.basis, "mean": codes.mean, "deviation": codes.deviation}, file)


def load_codes(file: Path) -> LinearCodes:
    """Read the codes back."""
    from safetensors.torch import load_file

    return LinearCodes(**load_file(file))


def to_tensor(frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (3, F, H, W) float32 in -1..1."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


def sampler_of(blueprint: Blueprint, settings: EmbeddedSettings, seed: int) -> SceneSampler:
    """The scenes of a stage."""
    mix = Mix(**settings.mix)
    return SceneSampler(blueprint.width, blueprint.height, seed, mix, settings.canvases, reuse=4)


class Decoding(nn.Module):
    """The decoder as a module whose forward is the stock piecewise decode."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.decoder = vae.decoder
        self._decode = vae.decode

    def forward(self, latents: Tensor) -> Tensor:
        return self._decode(latents).sample


class DecoderRecipe:
    """Pixels from the codes of single frames: L1 plus the L1 of spatial differences, on crops."""

    name = "decoder"

    def __init__(self, prepared: Prepared, stage: DecoderStage, settings: EmbeddedSettings) -> None:
        self.prepared, self.stage, self.seed = prepared, stage, settings.seed + 1
        self.sampler = sampler_of(prepared.blueprint, settings, self.seed)
        make_fast(prepared.pipeline.vae)
        use_frames_alone(prepared.pipeline.vae.decoder)
        self.model = Decoding(prepared.pipeline.vae)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Latents (B, K, 1, h, w) and the pixels (B, 3, 1, H, W) they stand for."""
        random = np.random.default_rng([self.seed, 6, step])
        first = step * self.stage.crops
        pixels = torch.stack([self._crop(first + k, random) for k in range(self.stage.crops)])
        return self.prepared.codes.encode(pixels), pixels

    def _crop(self, index: int, random: np.random.Generator) -> Tensor:
        """(3, 1, H, W) of any frame of clip `index`."""
        scene = self.sampler.clip(index, self.prepared.blueprint.num_frames).scene
        frame = to_tensor(scene.frames([int(random.integers(scene.num_frames))]))
        height, width, cell = self.stage.crop_height, self.stage.crop_width, self.prepared.codes.side
        top = cell * int(random.integers((frame.shape[2] - height) // cell + 1))
        left = cell * int(random.integers((frame.shape[3] - width) // cell + 1))
        return frame[:, :, top : top + height, left : left + width]

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        """The generator draws the noise that the decoder learns to bear from an imperfect transformer."""
        latents, pixels = batch
        level = self.stage.code_noise * torch.rand(len(latents), 1, 1, 1, 1, generator=generator)
        noisy = latents + (level * torch.randn(latents.shape, generator=generator)).to(latents)
        decoded = self.model(noisy.to(memory_format=torch.channels_last_3d)).float()
        edges = sum(F.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis)) for axis in (3, 4))
        return F.l1_loss(decoded, pixels) + self.stage.gradient_weight * edges


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
        ids = token_ids(self.prepared, prompts, drawn_length(self.stage.long_text, random))
        return ids, torch.tensor(moves, dtype=torch.float32)

    def loss(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        ids, moves = batch
        return F.mse_loss(self.model(ids).float(), moves)


def amounts(move: Move) -> tuple[float, ...]:
    """Pan, tilt, push and roll in units of the medium speed, and 1 for a camera that moves by hand."""
    return move.pan / PAN, move.tilt / TILT, move.push / PUSH, move.roll / ROLL, float(move.handheld > 0)


def without_move(random: np.random.Generator) -> str:
    """No caption, or flaws only, so that a negative prompt takes no side either."""
    return "" if random.random() < 0.5 else flaws(random)


def drawn_length(share: float, random: np.random.Generator) -> int | None:
    """What the stock pipeline pads prompts to, for this share of steps; None for the blueprint's length."""
    return STOCK_TEXT_LENGTH if random.random() < share else None


def token_ids(prepared: Prepared, prompts: list[str], length: int | None = None) -> Tensor:
    """(B, S) ids, padded to `length`, or to the blueprint's."""
    length = length or prepared.blueprint.text_length
    options = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    return prepared.pipeline.tokenizer(prompts, **options).input_ids


class Denoising(nn.Module):
    """Text encoder and transformer as one module."""

    def __init__(self, text_encoder: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.text_encoder, self.transformer = text_encoder, transformer

    def forward(self, noisy: Tensor, condition: Tensor, ids: Tensor, timesteps: Tensor, rotary: Any) -> Tensor:
        """The prediction (B, F, C, h, w). No attention mask: the pipeline gives none either."""
        text = self.text_encoder(ids)[0]
        joined = torch.cat([noisy, condition], dim=2)
        return self.transformer(joined, text, timesteps, image_rotary_emb=rotary, return_dict=False)[0]


@dataclass(frozen=True)
class Moments:
    """Which of a clip's token frames a sample holds. The first is always the photograph's.

    groups: (G,) their numbers. frames: (G * patch_t,) the frames of the clip that they show; those padded in front of
    the first are the first.
    """

    groups: np.ndarray
    frames: np.ndarray


class TransformerRecipe:
    """The CogVideoX image-to-video objective on the codes (src/training/objective.py).

    A sample is the photograph's token frame and a few others of the clip, each at its own rotary position: what a
    token frame shows follows from the photograph, the prompt and its time, so a few of them teach the whole clip's
    motion at a fraction of its attention. Whole clips come last.
    """

    name = "transformer"

    def __init__(self, prepared: Prepared, stage: TransformerStage, settings: EmbeddedSettings) -> None:
        self.prepared, self.stage, self.seed = prepared, stage, settings.seed + 2
        self.sampler = sampler_of(prepared.blueprint, settings, self.seed)
        pipeline = prepared.pipeline
        self.model = Denoising(pipeline.text_encoder, pipeline.transformer)
        self.model.train()
        self.alphas, self.prediction = pipeline.scheduler.alphas_cumprod, pipeline.scheduler.config.prediction_type
        self.rotary = self._all_rotary()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Clean latents (B, F, K, h, w), the noised photograph's (B, 1, K, h, w), token ids and rotary positions."""
        random = np.random.default_rng([self.seed, 8, step])
        moments = self._moments(step, random)
        clips = self._clips(step, len(moments.groups))
        videos = torch.stack([self._video(clip, moments) for clip in clips])
        prompts = [self._dropped(clip.prompt, random) for clip in clips]
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        codes = self.prepared.codes
        image = codes.encode(image_noise(videos[:, :, :1], generator, self.stage.image_noise))
        clean = codes.encode(videos)
        clean += float(np.exp(POSTERIOR_LOGVAR / 2)) * torch.randn(clean.shape, generator=generator)
        ids = token_ids(self.prepared, prompts, drawn_length(self.stage.long_text, random))
        rotary = torch.stack([table[moments.groups].flatten(0, 1) for table in self.rotary])
        return {"clean": clean.transpose(1, 2), "image": image.transpose(1, 2), "ids": ids, "rotary": rotary}

    def _moments(self, step: int, random: np.random.Generator) -> Moments:
        chances = self.stage.lengths(step)
        counts, total = list(chances), self.prepared.blueprint.token_frames
        count = int(random.choice(counts, p=np.array(list(chances.values())) / sum(chances.values())))
        groups = np.arange(count)
        if random.random() >= self.stage.contiguous:
            groups[1:] = 1 + np.sort(random.choice(total - 1, count - 1, replace=False))
        return moments_of(groups, self.prepared.blueprint)

    def _clips(self, step: int, count: int) -> list[Clip]:
        most, frames = max(self.stage.batches.values()), self.prepared.blueprint.num_frames
        return [self.sampler.clip(step * most + k, frames) for k in range(self.stage.batches[count])]

    @staticmethod
    def _video(clip: Clip, moments: Moments) -> Tensor:
        """(3, F, H, W) in -1..1: each frame is rendered once, however often it is shown."""
        shown, where = np.unique(moments.frames, return_inverse=True)
        return to_tensor(clip.scene.frames(shown.tolist()))[:, where]

    def _dropped(self, prompt: str, random: np.random.Generator) -> str:
        return prompt if random.random() >= self.stage.caption_dropout else without_move(random)

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        clean, image = batch["clean"], batch["image"]
        device = clean.device
        timesteps = self._timesteps(len(clean), generator).to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        kept = (torch.rand(len(clean), generator=generator) >= self.stage.image_dropout).to(device)
        noisy = noised(clean, noise, self.alphas, timesteps)
        condition = image_condition(image, clean.shape[1], kept)
        predicted = self.model(noisy, condition, batch["ids"], timesteps, tuple(batch["rotary"]))
        wanted = target(self.prediction, clean, noise, self.alphas, timesteps)
        return (sample_losses(predicted, wanted) * weights(self.prediction, self.alphas, timesteps)).mean()

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform, but for a share that is the last one: where sampling starts, and the prompt alone tells the move."""
        steps = len(self.alphas)
        timesteps = torch.randint(0, steps, (count,), generator=generator)
        last = torch.rand(count, generator=generator) < self.stage.last_timestep
        return timesteps.masked_fill(last, steps - 1)

    def _all_rotary(self) -> tuple[Tensor, Tensor]:
        """The positions that the pipeline gives the longest clip's tokens: cosines and sines (G, tokens, D)."""
        size = self.prepared.blueprint
        frames = size.token_frames * (size.patch_t or 1)
        tables = self.prepared.pipeline._prepare_rotary_positional_embeddings(size.height, size.width, frames, "cpu")
        return tuple(table.unflatten(0, (size.token_frames, -1)) for table in tables)


def moments_of(groups: np.ndarray, blueprint: Blueprint) -> Moments:
    """The frames that these token frames show, where a latent frame is one frame."""
    held = blueprint.patch_t or 1
    padding = -blueprint.num_frames % held
    frames = groups[:, None] * held + np.arange(held) - padding
    return Moments(groups, np.maximum(frames, 0).flatten())


RECIPES = {"decoder": DecoderRecipe, "text": TextRecipe, "transformer": TransformerRecipe}
