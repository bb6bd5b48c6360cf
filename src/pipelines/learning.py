"""The sides of a family that trainers ask: adapters of a checkpoint, and small models from nothing.

Read `family.py` first. A side may be a module whose functions have these names. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from src.catalog.spec import ModelSpec
from src.core.plan import Size
from src.pipelines.sides import Pipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from src.pipelines.blueprint import Blueprint
    from src.pipelines.linear_codes import LinearCodes


class ClipSize(Protocol):
    """Frames and pixels of a clip."""

    @property
    def num_frames(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


@dataclass(frozen=True)
class NoisedBatch:
    """What a batch is trained on: clean latents and noise (B, F, C, h, w), mixed as the timesteps
    (B,) say.
    """

    clean: Tensor
    noise: Tensor
    timesteps: Tensor


class Objective(Protocol):
    """What one checkpoint is trained to do. steps: of its schedule."""

    @property
    def steps(self) -> int: ...

    @property
    def noisiest(self) -> float:
        """The timestep that a clip begins at."""
        ...

    @property
    def held(self) -> int:
        """Latent frames that a token holds."""
        ...

    def timestep(self, generator: torch.Generator, high_noise: float) -> float:
        """Draw one. high_noise: share that comes from the upper third of the schedule."""
        ...

    def clean(self, posterior: Tensor) -> Tensor:
        """The model's latents of what was drawn from the VAE's posterior (T, C, h, w)."""
        ...

    def image(self, encoded: Tensor) -> Tensor:
        """The model's latents (1, C, h, w) of the photograph's encoding (C, h, w)."""
        ...

    def noised(self, batch: NoisedBatch) -> Tensor:
        """The noisy latents."""
        ...

    def errors(self, predicted: Tensor, batch: NoisedBatch, counts: Tensor | None = None) -> Tensor:
        """How far each prediction for the noisy latents is from what it should be, weighted, in
        float32: (B,). counts: (B, F, 1, h, w), what each cell's error counts; None for 1."""
        ...

    def implied_clean(self, predicted: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The clean latents that a prediction for noisy ones implies: (B, F, C, h, w) float32."""
        ...

    def losses(self, model: nn.Module, transformer: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """The objective of each sample of an adapter's batch: (B,). model: what `denoiser` made of
        the transformer, wrapped or not.

        batch: clean, noise, image, shown (whether the photograph is given), text, timestep and
        size; where clean and noise hold some token frames alone, groups (G,), their numbers, and
        token_frames, how many the clip has; where the error of changes from frame to frame counts
        beside it (src/pipelines/steadiness.py), steady, its weight, and follows (N,), the frames
        whose next one is the clip's next.
        """
        ...

    def denoiser(self, transformer: nn.Module, dtype: torch.dtype) -> nn.Module:
        """The trained part as a module whose forward `losses` calls, once a batch."""
        ...


@runtime_checkable
class Distillable(Objective, Protocol):
    """An objective that adapters can be distilled by, too. prediction: what the model gives, as its
    scheduler calls it."""

    @property
    def prediction(self) -> str: ...

    def predict(
        self, model: nn.Module, transformer: nn.Module, batch: Mapping[str, Any], noisy: Tensor,
        timesteps: Tensor,
    ) -> Tensor:  # fmt: skip
        """What the model gives for these noisy latents, told a batch's photograph and text."""
        ...

    def apart(self, predicted: Tensor, wanted: Tensor, timesteps: Tensor) -> Tensor:
        """How far two predictions are apart, weighted as `errors` are, in float32: (B,)."""
        ...

    def jump(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor, until: Tensor) -> Tensor:
        """The latents at the earlier timesteps `until` (B,), -1 for clean ones, after one step
        without noise."""
        ...

    def implied(self, noisy: Tensor, reached: Tensor, timesteps: Tensor, until: Tensor) -> Tensor:
        """The prediction from which one `jump` leads to `reached`."""
        ...


class Training(Protocol):
    """Fine-tuning a checkpoint of the family."""

    def objective(self, folder: Path) -> Objective:
        """From the checkpoint's files alone. Raises BadInputError for one that cannot be
        trained."""
        ...

    def objective_of(self, pipe: Pipe) -> Objective:
        """The same of a pipeline in memory."""
        ...

    def shapes(self, folder: Path) -> nn.Module:
        """The part that is trained, without its weights."""
        ...

    def check_some_frames(self, transformer: nn.Module) -> None:
        """Raise BadInputError where training on some of a clip's token frames is not possible."""
        ...

    def token_count(
        self, transformer: nn.Module, size: ClipSize, spec: ModelSpec, token_frames: int | None
    ) -> int:
        """Video and text tokens of one sample."""
        ...

    def latent_numbers(
        self, transformer: nn.Module, size: ClipSize, spec: ModelSpec, images: int
    ) -> int:
        """Numbers that a clip's posterior and so many encoded photographs take in the cache."""
        ...

    def width_and_depth(self, transformer: nn.Module) -> tuple[int, int]:
        """Channels of a token, and how many blocks it passes."""
        ...

    def text_width(self, transformer: nn.Module) -> int:
        """Channels of an embedded prompt's token."""
        ...

    def embed(self, pipe: Pipe, prompt: str, length: int, device: torch.device) -> Tensor:
        """(S, D): an embedded prompt as the cache keeps it and `Objective.losses` takes it."""
        ...

    def embedded(self, read: Callable[[str], Tensor]) -> Callable[..., Any]:
        """What stands for the pipeline's `encode_prompt` where prompts were embedded before. read:
        such a prompt, (1, S, D)."""
        ...


class Small(Protocol):
    """Small models of the family, built from nothing: for the repository's own one, and for
    tests."""

    def assemble(self, blueprint: Blueprint, tokenizer: Any, seed: int) -> Pipe:
        """The whole pipeline in memory, untrained, in float32 on the CPU."""
        ...

    def form(self, blueprint: Blueprint) -> Mapping[str, Mapping[str, Any]]:
        """What the configuration files of its parts say of the sizes that decide the weights'
        shapes and meaning."""
        ...

    def install(self, codes: LinearCodes, vae: Any) -> None:
        """Give the encoder, in place, the weights that compute these codes as its posterior
        mean."""
        ...

    def see_frames_alone(self, decoder: nn.Module) -> None:
        """Silence, in place, what the decoder takes from earlier frames."""
        ...

    def use_frames_alone(self, decoder: nn.Module) -> int:
        """Let a decoder that takes nothing from earlier frames compute a third; returns how many
        layers changed."""
        ...

    def positions(self, pipe: Pipe, size: Size, token_frames: int, latent_frames: int) -> Tensor:
        """Where the tokens of so many frames are, for `denoise`: (2, token_frames, tokens of a
        frame, D)."""
        ...

    def condition(self, image: Tensor, latent_frames: int, kept: Tensor) -> Tensor:
        """What `denoise` is told of the photograph's latents (B, 1, C, h, w); kept (B,): whether
        each is given."""
        ...

    def denoise(
        self,
        transformer: nn.Module,
        noisy: Tensor,
        condition: Tensor,
        text: Tensor,
        timesteps: Tensor,
        positions: Tensor,
    ) -> Tensor:
        """The prediction for noisy latents (B, F, C, h, w). positions: (2, tokens, D)."""
        ...
