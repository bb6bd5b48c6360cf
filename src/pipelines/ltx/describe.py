"""What an LTX-Video folder's own configuration files say of sizes, frame counts and noise levels.
Imports no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule, SizeRule
from src.core.plan import Size

STEP, FRAMES_A_LATENT = 32, 8
"""Pixels a latent cell is wide and high, and frames that a latent frame stands for."""
NATIVE, FRAMES, FPS, LENGTH = Size(width=704, height=512), 161, 25.0, 128
"""As the pipeline's defaults."""
STEPS, SCALE = 50, 3.0
SHIFTS = (
    ("base_shift", 0.5), ("max_shift", 1.15), ("base_image_seq_len", 256),
    ("max_image_seq_len", 4096),
)  # fmt: skip
"""Of noise levels that depend on a clip's tokens, and what they are unless a file says them."""


def describe(folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
    """The spec of a folder. Raises KeyError, TypeError or ValueError where its files say something
    else."""
    transformer = read(folder / "transformer" / "config.json")
    if transformer.get("patch_size", 1) != 1 or transformer.get("patch_size_t", 1) != 1:
        raise ValueError("its transformer's patches are larger than a latent cell")
    return ModelSpec(
        id=folder.resolve().name,
        family="ltx",
        description=f"diffusers folder {folder.name}",
        folder=str(folder.resolve()),
        native=NATIVE,
        delivered=NATIVE,
        sizes=SizeRule(multiple=STEP),
        max_sequence_length=LENGTH,
        frames=FrameRule(step=FRAMES_A_LATENT, most=257),
        defaults=Defaults(
            num_frames=FRAMES,
            fps=FPS,
            scheduler="euler",
            num_inference_steps=STEPS,
            guidance_scale=SCALE,
            baseline_num_inference_steps=STEPS,
            baseline_guidance_scale=SCALE,
        ),
        schedule=schedule_of(read(folder / "scheduler" / "scheduler_config.json")),
        licence="see the folder's own card",
    )


def schedule_of(scheduler: Mapping[str, Any]) -> Schedule:
    """scheduler: its configuration."""
    dynamic = scheduler.get("use_dynamic_shifting", False)
    if dynamic and scheduler.get("time_shift_type", "exponential") != "exponential":
        raise ValueError("its scheduler does not shift exponentially")
    shifts = tuple(scheduler.get(name, usual) for name, usual in SHIFTS)
    return Schedule(
        shift=scheduler.get("shift", 1.0),
        shifts=shifts if dynamic else None,
        terminal=scheduler.get("shift_terminal"),
        train_timesteps=scheduler.get("num_train_timesteps", 1000),
    )


def token_count(size: Size, frames: int) -> int:
    """Tokens of a clip: latent cells, each of which is one."""
    return ((frames - 1) // FRAMES_A_LATENT + 1) * (size.height // STEP) * (size.width // STEP)
