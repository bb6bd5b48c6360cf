"""What a Wan 2.2 TI2V folder's own configuration files say of sizes, frame counts and noise levels.
Imports no torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Attention
from src.pipelines.flow_schedules import unipc_schedule

NATIVE, FRAMES, FPS = Size(width=1280, height=704), 121, 24.0
"""As the model's card has them."""
STEPS, SCALE, LENGTH = 50, 5.0, 512
"""Steps, guidance and tokens of the prompt, as the pipeline's defaults."""


def describe(folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
    """The spec of a folder. Raises KeyError, TypeError or ValueError where its files say something
    else."""
    transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
    if transformer["in_channels"] != transformer["out_channels"]:
        raise ValueError("its transformer is told the photograph beside the latents")
    return ModelSpec(
        id=folder.resolve().name,
        family="wan-ti2v",
        description=f"diffusers folder {folder.name}",
        folder=str(folder.resolve()),
        native=NATIVE,
        delivered=NATIVE,
        sizes=SizeRule(
            multiple=vae.get("scale_factor_spatial", 8)
            * transformer.get("patch_size", (1, 2, 2))[1]
        ),
        max_sequence_length=LENGTH,
        frames=FrameRule(step=vae.get("scale_factor_temporal", 4), most=FRAMES),
        defaults=Defaults(
            num_frames=FRAMES,
            fps=FPS,
            scheduler="unipc",
            num_inference_steps=STEPS,
            guidance_scale=SCALE,
            baseline_num_inference_steps=STEPS,
            baseline_guidance_scale=SCALE,
        ),
        schedule=unipc_schedule(read(folder / "scheduler" / "scheduler_config.json")),
        licence="see the folder's own card",
    )


def attention(folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan) -> Attention:
    """Of the video; what the files leave out is as diffusers has it."""
    transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
    of_time, height, width = transformer.get("patch_size", (1, 2, 2))
    step = vae.get("scale_factor_spatial", 8)
    frames = (plan.num_frames - 1) // vae.get("scale_factor_temporal", 4) + 1
    rows, columns = plan.native.height // step // height, plan.native.width // step // width
    return Attention(
        transformer.get("num_attention_heads", 40),
        transformer.get("attention_head_dim", 128),
        frames // of_time * rows * columns,
    )
