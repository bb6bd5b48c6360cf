"""What `src.pipelines.family.Training` asks for: the objective on cached latents, and sizes for its
estimates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.cogvideox import objective as maths
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.rotary import (
    joined,
    missing_frames,
    of_groups,
    offset,
    padded,
    rotary_positions,
)
from src.pipelines.learning import ClipSize, NoisedBatch
from src.pipelines.steadiness import unsteadiness


@dataclass(frozen=True)
class CogVideoXObjective:
    """alphas: cumulative products of the checkpoint's own scheduler. video, image: what latents are
    multiplied by.

    ratio: pixels that a latent cell is wide and high. prediction: the scheduler's prediction type.
    patch_t: latent frames a token holds, None for one.
    """

    alphas: Tensor
    prediction: str
    video: float
    image_scale: float
    ratio: int
    patch_t: int | None

    @property
    def steps(self) -> int:
        return len(self.alphas)

    @property
    def noisiest(self) -> int:
        return self.steps - 1

    @property
    def held(self) -> int:
        return self.patch_t or 1

    def timestep(self, generator: torch.Generator, high_noise: float) -> int:
        """Uniform, but for a share that comes from the upper third of the schedule."""
        upper = float(torch.rand(1, generator=generator)) < high_noise
        return int(
            torch.randint(
                self.steps * 2 // 3 if upper else 0, self.steps, (1,), generator=generator
            )
        )

    def clean(self, posterior: Tensor) -> Tensor:
        """(T, C, h, w) in the model's scale, padded in front as inference pads."""
        return padded(self.video * posterior, self.patch_t)

    def image(self, encoded: Tensor) -> Tensor:
        """(1, C, h, w) in the scale that the photograph has."""
        return self.image_scale * encoded[None]

    def noised(self, batch: NoisedBatch) -> Tensor:
        return maths.noised(batch.clean, batch.noise, self.alphas, batch.timesteps)

    def errors(self, predicted: Tensor, batch: NoisedBatch, counts: Tensor | None = None) -> Tensor:
        """Mean squared error from the velocity, or from the clean latents weighted by the noise:
        (B,)."""
        wanted = maths.target(
            self.prediction, batch.clean, batch.noise, self.alphas, batch.timesteps
        )
        return self.apart(predicted, wanted, batch.timesteps, counts)

    def apart(
        self, predicted: Tensor, wanted: Tensor, timesteps: Tensor, counts: Tensor | None = None
    ) -> Tensor:
        return maths.sample_losses(predicted, wanted, counts) * maths.weights(
            self.prediction, self.alphas, timesteps
        )

    def jump(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor, until: Tensor) -> Tensor:
        return maths.jump(self.prediction, noisy, predicted, self.alphas, timesteps, until)

    def implied(self, noisy: Tensor, reached: Tensor, timesteps: Tensor, until: Tensor) -> Tensor:
        return maths.implied(self.prediction, noisy, reached, self.alphas, timesteps, until)

    def implied_clean(self, predicted: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        return maths.implied_clean(self.prediction, noisy, predicted, self.alphas, timesteps)

    def losses(self, model: nn.Module, transformer: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        noised = NoisedBatch(batch["clean"], batch["noise"], batch["timestep"])
        noisy = self.noised(noised)
        predicted = self.predict(model, transformer, batch, noisy, noised.timesteps)
        errors = self.errors(predicted, noised)
        if "steady" not in batch:
            return errors
        reached = self.implied_clean(predicted, noisy, noised.timesteps)
        return errors + batch["steady"] * unsteadiness(reached, noised.clean, batch["follows"])

    def predict(
        self,
        model: nn.Module,
        transformer: nn.Module,
        batch: Mapping[str, Any],
        noisy: Tensor,
        timesteps: Tensor,
    ) -> Tensor:
        condition = maths.image_condition(batch["image"], noisy.shape[1], batch["shown"])
        size, groups = batch["size"], batch.get("groups")
        frames = noisy.shape[1] if groups is None else self.held * batch["token_frames"]
        rotary = rotary_positions(
            transformer, size.height, size.width, self.ratio, frames, noisy.device
        )
        if rotary is not None and groups is not None:
            rotary = of_groups(rotary, groups, batch["token_frames"])
        return model(noisy, condition, batch["text"], timesteps, rotary)

    def denoiser(self, transformer: nn.Module, dtype: torch.dtype) -> nn.Module:
        return Denoiser(transformer, dtype)


class Denoiser(nn.Module):
    """The transformer with its photograph joined on the channel axis."""

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.transformer, self.dtype = transformer, dtype

    def forward(
        self, noisy: Tensor, condition: Tensor, text: Tensor, timesteps: Tensor, rotary: Any
    ) -> Tensor:
        """The prediction (B, F, C, h, w) for noisy latents and condition of the same shape."""
        both = joined(noisy, condition).to(self.dtype)
        return self.transformer(
            hidden_states=both, encoder_hidden_states=text.to(self.dtype), timestep=timesteps,
            ofs=offset(self.transformer, both), image_rotary_emb=rotary, return_dict=False,
        )[0]  # fmt: skip


def objective(folder: Path) -> CogVideoXObjective:
    """From the checkpoint's files alone. Raises BadInputError for a model that predicts the
    noise."""
    from diffusers import CogVideoXDPMScheduler

    scheduler: Any = CogVideoXDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    prediction = scheduler.config.prediction_type
    if prediction not in maths.PREDICTIONS:
        kinds = " or ".join(maths.PREDICTIONS)
        raise BadInputError(
            f"{folder} predicts {prediction}; adapters are trained on models that predict {kinds}"
        )
    vae, transformer = (_config(folder / part / "config.json") for part in ("vae", "transformer"))
    return _objective(scheduler, vae, transformer.get("patch_size_t"))


def objective_of(pipe: Any) -> CogVideoXObjective:
    """The same of a pipeline in memory."""
    return _objective(pipe.scheduler, pipe.vae.config, pipe.transformer.config.patch_size_t)


def _objective(scheduler: Any, vae: Mapping[str, Any], patch_t: int | None) -> CogVideoXObjective:
    scale = vae.get("scaling_factor", 1.15258426)
    # As in inference: some checkpoints were trained with the photograph's scale inverted.
    image = 1 / scale if vae.get("invert_scale_latents") else scale
    alphas, prediction = scheduler.alphas_cumprod.float(), scheduler.config.prediction_type
    return CogVideoXObjective(alphas, prediction, scale, image, spatial_ratio(vae), patch_t)


def _config(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def shapes(folder: Path) -> nn.Module:
    """The transformer without its weights."""
    from diffusers import CogVideoXTransformer3DModel

    config: Any = CogVideoXTransformer3DModel.load_config(folder / "transformer")
    with torch.device("meta"):
        made: Any = CogVideoXTransformer3DModel.from_config(config)
    return made


def token_count(
    transformer: Any, size: ClipSize, spec: ModelSpec, token_frames: int | None = None
) -> int:
    """Video and text tokens of one sample. token_frames: that it has at most."""
    patch_t, side = transformer.config.patch_size_t, spec.sizes.multiple
    count = latent_frames(transformer, size)
    frames = (count + missing_frames(count, patch_t)) // (patch_t or 1)
    frames = min(frames, token_frames or frames)
    return frames * (size.height // side) * (size.width // side) + spec.max_sequence_length


def check_some_frames(transformer: Any) -> None:
    """Raise BadInputError where the model cannot tell which of a clip's token frames it is
    given."""
    if transformer.config.use_learned_positional_embeddings:
        raise BadInputError(
            "token_frames: this model has learned positions, which count from a clip's first frame "
            "on; leave token_frames out"
        )


def latent_frames(transformer: Any, size: ClipSize) -> int:
    """What the VAE makes of a clip's frames, by the ratio that the transformer was made for."""
    return (size.num_frames - 1) // transformer.config.temporal_compression_ratio + 1


def latent_numbers(transformer: Any, size: ClipSize, spec: ModelSpec, images: int) -> int:
    """Mean and variance of each latent number, and the encoded photographs."""
    cell = spec.sizes.multiple // transformer.config.patch_size
    frames = 2 * latent_frames(transformer, size) + images
    return frames * transformer.config.out_channels * (size.height // cell) * (size.width // cell)


def width_and_depth(transformer: Any) -> tuple[int, int]:
    """Channels of a token, and how many blocks it passes."""
    config = transformer.config
    return config.num_attention_heads * config.attention_head_dim, config.num_layers


def embed(pipe: Any, prompt: str, length: int, device: torch.device) -> Tensor:
    """(S, D) as the pipeline itself embeds a prompt."""
    return pipe.encode_prompt(prompt, None, False, max_sequence_length=length, device=device)[0][0]


def embedded(read: Callable[[str], Tensor]) -> Callable[..., Any]:
    """In the place of the pipeline's `encode_prompt`."""
    return lambda prompt, *_, **__: (read(prompt), read(""))


def text_width(transformer: Any) -> int:
    """Channels of an embedded prompt's token."""
    return transformer.config.text_embed_dim
