"""What an LTX-Video folder's own configuration files say of sizes, frame counts and noise levels.
Imports no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Attention
from src.pipelines.flow_schedules import euler_schedule

STEP, FRAMES_A_LATENT = 32, 8
"""Pixels a latent cell is wide and high, and frames that a latent frame stands for."""
NATIVE, FRAMES, FPS, LENGTH = Size(width=704, height=512), 161, 25.0, 128
"""As the pipeline's defaults."""
STEPS, SCALE = 50, 3.0
NEVER_AGAIN = "the scheduler draws noise at each step, which the stock pipeline takes from no seed"
NO_NOISE = "the stock pipeline cannot draw the decoder's noise from a seed on a GPU"
"""diffusers 0.42 calls `torch.randn` on the GPU with the seed's generator, the CPU's."""


def describe(folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
    """The spec of a folder. Raises KeyError, TypeError or ValueError where its files say something
    else."""
    transformer, vae, scheduler = (
        read(folder / part)
        for part in (
            "transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"
        )
    )  # fmt: skip
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
        schedule=euler_schedule(scheduler),
        stock_fails=stock_fails(vae, scheduler),
        licence="see the folder's own card",
    )


def attention(folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan) -> Attention:
    """Of the video; what the files leave out is as diffusers has it."""
    transformer = read(folder / "transformer/config.json")
    frames = (plan.num_frames - 1) // FRAMES_A_LATENT + 1
    return Attention(
        transformer.get("num_attention_heads", 32),
        transformer.get("attention_head_dim", 64),
        frames * (plan.native.height // STEP) * (plan.native.width // STEP),
    )


def stock_fails(vae: Mapping[str, Any], scheduler: Mapping[str, Any]) -> dict[str, str]:
    """As `ModelSpec.stock_fails`, of these configurations."""
    if scheduler.get("stochastic_sampling"):
        return dict.fromkeys(("cpu", "cuda"), NEVER_AGAIN)
    return {"cuda": NO_NOISE} if vae.get("timestep_conditioning") else {}
