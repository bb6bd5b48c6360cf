"""What a CogVideoX folder's own configuration files say of sizes, frame counts and rate. Imports no
torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Attention

SIZE_OF_1_5 = Size(width=1360, height=768)
LARGEST_1_5 = 300
"""Latent cells a side that 1.5's rotary tables cover: what its configuration says in the place of
its size."""


def describe(folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
    """The spec of a folder. Raises KeyError, TypeError or ValueError where its files say something
    else."""
    transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
    scheduler = read(folder / "scheduler" / "scheduler_config.json")
    step = spatial_ratio(vae)
    learned = transformer.get("use_learned_positional_embeddings", False)
    frames = transformer.get("sample_frames", 49)
    native = _native(transformer, step)
    newer = is_1_5(transformer)
    return ModelSpec(
        id=folder.resolve().name,
        family="cogvideox",
        description=f"diffusers folder {folder.name}",
        folder=str(folder.resolve()),
        native=native,
        delivered=native if native.width * 2 != native.height * 3 else Size(width=720, height=480),
        sizes=SizeRule(multiple=step * transformer.get("patch_size", 2), native_only=learned),
        max_sequence_length=transformer.get("max_text_seq_length", 226),
        frames=_frame_rule(frames, learned, newer),
        defaults=Defaults(num_frames=frames, fps=16.0 if newer else 8.0),
        schedule=_schedule(scheduler),
        licence="see the folder's own card",
    )


def spatial_ratio(vae: Mapping[str, Any]) -> int:
    """Pixels that a latent cell is wide and high. vae: its configuration."""
    return 2 ** (len(vae["block_out_channels"]) - 1)


def attention(folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan) -> Attention:
    """Of text and video together. Norms lay the stock processor's queries and keys heads first;
    that of a CPU (`fast_attention`) and that of several processes keep them as they are. Raises
    KeyError where the files say something else.
    """
    transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
    step = spatial_ratio(vae) * transformer.get("patch_size", 2)
    frames = (plan.num_frames - 1) // int(vae.get("temporal_compression_ratio", 4)) + 1
    patch = transformer.get("patch_size_t") or 1
    video = -(-frames // patch) * (plan.native.height // step) * (plan.native.width // step)
    return Attention(
        transformer.get("num_attention_heads", 30),
        transformer.get("attention_head_dim", 64),
        plan.max_sequence_length + video,
        heads_first=plan.session.device != "cpu" and plan.session.gpus == 1,
    )


def _schedule(scheduler: dict[str, Any]) -> Schedule:
    return Schedule(
        spacing=scheduler.get("timestep_spacing", "leading"),
        train_timesteps=scheduler.get("num_train_timesteps", 1000),
        offset=scheduler.get("steps_offset", 0),
    )


def is_1_5(transformer: dict[str, Any]) -> bool:
    """Whether it is an image-to-video transformer of CogVideoX 1.5: none other embeds an offset
    (`ofs`)."""
    return transformer.get("ofs_embed_dim") is not None


def _native(transformer: dict[str, Any], step: int) -> Size:
    width, height = transformer["sample_width"], transformer["sample_height"]
    if is_1_5(transformer) and min(width, height) >= LARGEST_1_5:
        return SIZE_OF_1_5
    return Size(width=width * step, height=height * step)


def _frame_rule(frames: int, learned: bool, newer: bool) -> FrameRule:
    """1.0 makes the one count that its positions were trained on; 1.5 makes 16k + 1, up to ten
    seconds."""
    if learned:
        return FrameRule(only=frames)
    return FrameRule(step=16, most=max(161, frames)) if newer else FrameRule(most=frames)
