"""Samples of the model in training: contact sheets to look at, a row a prompt."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from src.media.images import fit_photograph
from src.pipelines.blueprint import NANO, Blueprint
from src.pipelines.families import family_named
from src.pipelines.models import find_model
from src.scenes.photographs import HELD_OUT, load_training_photograph

PROMPTS = (
    "pan left", "Press briefing at city hall, the camera slowly pans right", "tilt up",
    "fast tilt down", "push in", "pull out", "roll clockwise", "static shot",
)  # fmt: skip
SHOWN = 5


def sample_clips(
    pipeline: Any,
    photograph: np.ndarray,
    prompt: str,
    num_frames: int,
    seed: int,
    steps: int,
    guidance: float,
    bf16: bool = False,
) -> np.ndarray:
    """One clip by the stock pipeline: (F, H, W, 3) uint8. photograph: (H, W, 3) uint8 at native
    size.
    """
    with torch.no_grad(), _autocast(bf16):
        frames = pipeline(
            image=Image.fromarray(photograph), prompt=prompt, num_frames=num_frames,
            height=photograph.shape[0], width=photograph.shape[1], num_inference_steps=steps,
            guidance_scale=guidance, generator=torch.Generator().manual_seed(seed),
            output_type="np", max_sequence_length=pipeline.transformer.config.max_text_seq_length,
        ).frames[0]  # fmt: skip
    return np.rint(frames * 255).astype(np.uint8)


def _autocast(bf16: bool) -> AbstractContextManager:
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def strip(frames: np.ndarray, shown: int = SHOWN) -> np.ndarray:
    """`shown` frames of a clip side by side: (H, shown * W, 3)."""
    picked = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    return np.concatenate([frames[i] for i in picked], axis=1)


def under_prompt(row: np.ndarray, label: str) -> np.ndarray:
    """A row of a sheet under its prompt."""
    bar = np.full((16, row.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, label, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
    return np.concatenate([bar, row], axis=0)


def write_sheet(
    pipeline: Any, file: Path, blueprint: Blueprint = NANO, num_frames: int = 17
) -> Path:
    """Samples of a pipeline on held-out photographs, as a PNG; makes its decoder the fast one."""
    pipeline.set_progress_bar_config(disable=True)
    family_named(blueprint.family).loop.speed_up_vae(pipeline.vae)
    usual, rows = find_model("nano").defaults, []
    for index, prompt in enumerate(PROMPTS):
        name = HELD_OUT[index % len(HELD_OUT)].name
        photograph = fit_photograph(
            load_training_photograph(name), blueprint.width, blueprint.height, "cover"
        )
        frames = min(num_frames, blueprint.num_frames)
        clip = sample_clips(
            pipeline, photograph, prompt, frames, 0, usual.num_inference_steps, usual.guidance_scale
        )
        rows.append(under_prompt(strip(clip), prompt))
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(file)
    return file
