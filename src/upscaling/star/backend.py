"""STAR as a backend: 4x by diffusion over time; 2x is that made smaller, 8x that and our 2x
network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from loguru import logger
from torch import Tensor

from src.catalog.upscalers import NOISY
from src.core.errors import BadInputError
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Measured, Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.enhance import lacking_low
from src.upscaling.fitting import budget_on
from src.upscaling.runtime import NetworkRunner
from src.upscaling.star.codec import SCALE, Codec, canvas, load_codec, onto_canvas
from src.upscaling.star.colour import coloured
from src.upscaling.star.denoiser import GUIDANCE, Asked, StarDenoiser, restored, start_for
from src.upscaling.star.files import load_star
from src.upscaling.star.memory import Cut, plan, scaled_memory
from src.upscaling.star.spec import FRAME_FACTOR
from src.upscaling.star.text import UNWANTED, TextEncoder, prompt_text
from src.upscaling.star.windows import OVERLAP
from src.upscaling.weights import load_network

EVALUATIONS = {"fast": 14, "balanced": 25, "quality": 50}
"""Of the network, by preset; 14 and 50 are published."""
TEXT = "text_encoder/model.safetensors"
OURS = "_2x.safetensors"
"""How the file of our own network ends, which 8x goes on with."""
GATHERED = 4
"""Frames of 4x that our own network takes at once."""
FURTHER = 0.3
"""Of the budget, for our own network."""


class StarBackend(Measured):
    """See `Backend`. Raises as `UpscalerChoice.hashes`, `load_star` and `load_codec` do."""

    sizes, builds = Sizes(), ()
    window = Window(overlap=OVERLAP // 2)

    def __init__(self, choice: UpscalerChoice) -> None:
        self.name, self.scale = f"{choice.spec.id} {choice.preset} {choice.scale}x", choice.scale
        self.hashes, self.device = choice.hashes(), torch.device(choice.device)
        self.evaluations = EVALUATIONS[choice.preset]
        self.guidance = _guidance(choice)
        self.noisy = choice.noisy
        first, *others = choice.files()
        self._load(first.path)
        self.further = [load_network(f.path) for f in others if f.path.name.endswith(OURS)]
        self.budget = budget_on(choice.device)

    def _load(self, file: Path) -> None:
        version = next(sha256 for name, sha256 in self.hashes.items() if name.endswith(TEXT))
        self.folder = file.parent
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        self.network: Any = load_star(file, self.dtype)
        self.vae = load_codec(self.folder / "vae")
        self.figures = scaled_memory(self.network, self.vae)
        if self.device.type == "cpu":  # the weights lie in the memory that is measured
            self.figures = replace(self.figures, network=0, codec=0)
        self.text = TextEncoder(self.folder, version, self.device)

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`: frames come as they are decoded, three at a time."""
        if settings.denoise >= NOISY and not self.noisy:
            raise AssertionError(
                "a choice for a noisy source names its files: UpscalerChoice.noisy"
            )
        kept = self._context(piece)
        large = self._enlarged(piece, kept, settings, run)
        if not self.further:
            yield from (self._reduced(frames) for frames in large)
            return
        lead, trail = (min(len(range(*part)), self._reach()) for part in self._around(piece))
        each, runner = (frame for frames in large for frame in frames), self._runner()
        for part, before, after in gathered(each, lead, trail, self._reach()):
            for frames in runner.run(part, before, after, (0.0, 0.0)):
                run.cancel.check()
                yield frames

    def _around(self, piece: Stretch) -> tuple[tuple[int, int], tuple[int, int]]:
        """The frames of context before and after the body."""
        end = len(piece.frames) - piece.after
        return (0, piece.before), (end, len(piece.frames))

    def _reach(self) -> int:
        return max((network.spec.context for network in self.further), default=0)

    def _context(self, piece: Stretch) -> slice:
        """The frames that are decoded: the body, and what our own network looks at around it."""
        end = len(piece.frames) - piece.after
        return slice(
            max(0, piece.before - self._reach()), min(len(piece.frames), end + self._reach())
        )

    def _runner(self) -> NetworkRunner:
        return NetworkRunner(self.further[0], self.device.type, int(FURTHER * self.budget))

    def _enlarged(
        self, piece: Stretch, kept: slice, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """The kept frames at 4x: (n, 4H, 4W, 3) float32 in [0, 1]."""
        height, width = piece.frames.shape[1:3]
        source = piece.frames.astype(np.float32) / np.iinfo(piece.frames.dtype).max
        cut = self._cut(len(source), canvas(height, width))
        latents = self._latents(source, piece, settings, run, cut)[kept]
        place = kept.start
        for pictures in self._decoded(latents, cut, run):
            frames = pictures[:, :, : SCALE * height, : SCALE * width].permute(0, 2, 3, 1)
            each = zip(frames.cpu().numpy().clip(0, 1), source[place:], strict=False)
            yield np.stack([coloured(made, own) for made, own in each])
            place += len(frames)

    @torch.inference_mode()
    def _latents(
        self,
        source: np.ndarray,
        piece: Stretch,
        settings: EnhanceSettings,
        run: UpscaleRun,
        cut: Cut,
    ) -> Tensor:
        texts = self.text([prompt_text(run.prompt), UNWANTED])
        asked = Asked(self.evaluations, start_for(settings.denoise), self.guidance)
        given = (onto_canvas(torch.from_numpy(frame).permute(2, 0, 1)) for frame in source)
        with self._on(self.vae, cut):
            clean = Codec(self.vae, self.device, run.cancel.check).encode(given, cut.codec)
        with self._on(self.network, cut):
            denoiser = StarDenoiser(self.network, clean, texts, asked, run, cut.network)
            return restored(denoiser, piece.numbers)

    @torch.inference_mode()
    def _decoded(self, latents: Tensor, cut: Cut, run: UpscaleRun) -> Iterator[Tensor]:
        with self._on(self.vae, cut):
            codec = Codec(self.vae, self.device, run.cancel.check)
            yield from codec.decode(latents, cut.codec)

    @contextmanager
    def _on(self, module: Any, cut: Cut) -> Iterator[None]:
        """The module on the device; only for so long where the two take turns."""
        module.to(self.device)
        try:
            yield
        finally:
            if cut.mode != "whole" and self.device.type != "cpu":
                module.to("cpu")
                torch.cuda.empty_cache()

    def _cut(self, frames: int, pixels: tuple[int, int]) -> Cut:
        places = pixels[0] * pixels[1] // FRAME_FACTOR**2
        cut = plan(self.figures, frames, places, self.budget)
        logger.debug("star goes through {}: {} places of latents, {}", cut.mode, places, cut)
        return cut

    def _reduced(self, frames: np.ndarray) -> np.ndarray:
        """4x as it is; 2x as the mean of each four pixels of it."""
        if self.scale == SCALE:
            return frames
        height, width = (side * self.scale // SCALE for side in frames.shape[1:3])
        size = (width, height)
        return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: as much as is asked of the low frequencies comes from
        the source.
        """
        if not asked.preserve_details:
            return made
        return made + asked.preserve_details * lacking_low(made, source)


def gathered(
    frames: Iterator[np.ndarray], before: int, after: int, reach: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """A stream of frames (H, W, 3), a few at a time with `reach` of those around them: so few are
    held at once. before, after: how many of the whole stream are context.

    Yields (T, H, W, 3), and how many of those are context before and after.
    """
    held, lead = [], before
    for frame in frames:
        held.append(frame)
        if len(held) == (end := lead + GATHERED) + max(reach, after):
            yield np.stack(held[: end + reach]), lead, reach
            lead = min(reach, end)
            held = held[end - lead :]
    if len(held) > lead + after:
        yield np.stack(held), lead, after


def _guidance(choice: UpscalerChoice) -> float:
    """How strongly the prompt is followed. Raises BadInputError below 1, where the text of what is
    unwanted would be.
    """
    asked = GUIDANCE if choice.guidance_scale is None else choice.guidance_scale
    if asked < 1:
        raise BadInputError(
            f"--guidance-scale is {asked:g}; for {choice.spec.id} it must be 1 or more"
        )
    return asked
