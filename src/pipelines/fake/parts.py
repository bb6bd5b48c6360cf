"""The fake's networks and its pipeline: a few thousand weights in safetensors, laid out as a
diffusers folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.cache_utils import CacheMixin
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from src.pipelines.reading import load_strictly
from src.pipelines.saving import load_tensors

CHANNELS, WIDTH, CELL, TIME = 4, 16, 8, 4
"""Of latents; of tokens; pixels a latent cell is wide; frames a latent frame stands for, the first
for one."""


class Words(nn.Module):
    """(S,) bytes of a prompt to (S, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids)


class FakeAttention(nn.Module):
    """Attention of tokens (B, N, WIDTH) over themselves and the words."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, tokens: Tensor, words: Tensor) -> Tensor:
        seen = torch.cat([words, tokens], dim=1)
        return F.scaled_dot_product_attention(self.to_q(tokens), self.to_k(seen), self.to_v(seen))


class FakeLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention, self.mlp = (
            nn.LayerNorm(WIDTH),
            FakeAttention(),
            nn.Linear(WIDTH, WIDTH),
        )

    def forward(self, tokens: Tensor, words: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm(tokens), words)
        return tokens + self.mlp(self.norm(tokens))


class Mover(nn.Module, CacheMixin):
    """Latents (B, 2 C, T, h, w), the photograph's half beside the noisy one, to the velocity (B, C,
    T, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(2 * CHANNELS + 1, WIDTH), nn.Linear(WIDTH, CHANNELS)
        self.layers = nn.ModuleList(FakeLayer() for _ in range(2))

    def forward(self, latents: Tensor, timestep: Tensor, words: Tensor) -> Tensor:
        grid = latents.movedim(1, -1)
        level = (timestep / 1000).to(grid.dtype).view(-1, 1, 1, 1, 1).expand(*grid.shape[:-1], 1)
        tokens = self.into(torch.cat([grid, level], dim=-1)).flatten(1, 3)
        for layer in self.layers:
            tokens = layer(tokens, words)
        return self.out(tokens).view(*grid.shape[:-1], CHANNELS).movedim(-1, 1)


class Pixels(nn.Module):
    """Pictures (N, 3, H, W) to latents (N, C, h, w) and back."""

    def __init__(self) -> None:
        super().__init__()
        self.coder = nn.Conv2d(3, CHANNELS, CELL, stride=CELL)
        self.decoder = nn.ConvTranspose2d(CHANNELS, 3, CELL, stride=CELL)

    def encode(self, pictures: Tensor) -> Tensor:
        return self.coder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).tanh()


KINDS: dict[str, Callable[[], nn.Module]] = {"words": Words, "mover": Mover, "pixels": Pixels}


class FakePipe:
    """What stands for a diffusers pipeline; called, it is the stock one."""

    def __init__(self, parts: dict[str, nn.Module | None], scheduler: Any) -> None:
        self.words, self.mover, self.pixels = (parts[name] for name in KINDS)
        self.scheduler = scheduler

    def to(self, device: torch.device) -> "FakePipe":
        for name in KINDS:
            getattr(self, name).to(device)
        return self

    def maybe_free_model_hooks(self) -> None:
        """Nothing is hooked."""

    def set_progress_bar_config(self, **options: Any) -> None:
        """There is no bar."""

    def encode_prompt(self, prompt: str, limit: int) -> Tensor:
        """(1, limit, WIDTH), filled up with zero bytes."""
        words: Any = self.words
        ids = prompt.encode()[:limit].ljust(limit, b"\0")
        return words(torch.tensor(list(ids), device=words.table.weight.device))[None]

    def prepare(
        self, pixels: Tensor, num_frames: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Noise and photograph (1, C, T, h, w) of pixels (1, 3, H, W) in -1..1: the photograph
        first, zeros after."""
        coder: Any = self.pixels
        first = coder.encode(pixels)[:, :, None]
        rest = first.new_zeros(1, CHANNELS, (num_frames - 1) // TIME, *first.shape[-2:])
        photograph = torch.cat([first, rest], dim=2)
        noise = torch.randn(photograph.shape, generator=generator).to(photograph)
        return noise, photograph

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image,
        prompt: str,
        negative_prompt: str | None,
        height: int,
        width: int,
        num_frames: int,
        num_inference_steps: int,
        generator: torch.Generator,
        callback_on_step_end: Callable[..., Any],
        output_type: str,
        scale: float,
        words: int,
        sigmas: Sequence[float],
    ) -> Any:
        """The stock call; its loop is its own. Frames (F, H, W, 3) in 0..1."""
        network: Any = self.mover
        told = [self.encode_prompt(text or "", words) for text in (negative_prompt, prompt)]
        latents, photograph = self.prepare(frame_tensor(np.asarray(image)), num_frames, generator)
        self.scheduler.set_timesteps(sigmas=list(sigmas))
        for step, timestep in enumerate(self.scheduler.timesteps):
            known = torch.cat([latents, photograph], dim=1)
            if scale > 1:
                free, led = network(
                    torch.cat([known] * 2), timestep.expand(2), torch.cat(told)
                ).chunk(2)
                velocity = free + scale * (led - free)
            else:
                velocity = network(known, timestep.expand(1), told[1])
            latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
            callback_on_step_end(self, step, timestep, {"latents": latents})
        vae: Any = self.pixels
        pictures = vae.decode(latents[0].movedim(0, 1))
        frames = spread(pictures) * 0.5 + 0.5
        return SimpleNamespace(
            frames=[frames.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()]
        )


def frame_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) in -1..1."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def spread(pictures: Tensor) -> Tensor:
    """(T, 3, H, W) pictures to the frames they stand for: the first for one, the others for TIME
    each."""
    return torch.cat([pictures[:1], pictures[1:].repeat_interleave(TIME, dim=0)])


def build_fake(folder: Path, seed: int, width: int = 64, height: int = 48) -> Path:
    """Write seeded weights as a diffusers folder; returns it."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    torch.manual_seed(seed)
    index: dict[str, Any] = {"_class_name": "FakeImageToVideoPipeline"}
    for name, kind in KINDS.items():
        (folder / name).mkdir(parents=True)
        save_file(kind().state_dict(), folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(json.dumps({"width": width, "height": height}))
        index[name] = ["diffusers", f"Fake{name.capitalize()}"]
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def load_part(folder: Path, name: str, dtype: torch.dtype) -> nn.Module:
    """One network from its folder."""
    module = KINDS[name]()
    load_strictly(module, load_tensors(folder / name / "model.safetensors"), folder / name)
    return module.to(dtype).eval()
