"""LTX-Video image to video: the photograph is the first latent frame; its noise levels depend on a
clip's tokens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule, SizeRule
from src.core.errors import BadInputError
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.sides import Architecture, Counting
from src.pipelines.stock_only.architectures import OF_LTX
from src.pipelines.stock_only.base import StockOnly, words
from src.pipelines.stock_only.timesteps import euler_flow, flow_mu

STEP, FRAMES_A_LATENT = 32, 8
"""Pixels a latent cell is wide and high, and frames that a latent frame stands for."""
NATIVE, FRAMES, FPS, LENGTH = Size(width=704, height=512), 161, 25.0, 128
"""As the pipeline's defaults."""
FEWEST = 2
"""Steps: a last noise level that is given leaves no room for one alone."""


class LTX(StockOnly):
    """LTX-Video, of its first form and the later ones whose VAE is told a timestep."""

    name = "ltx"
    title = "LTX-Video"
    pipeline = "LTXImageToVideoPipeline"
    pipelines: tuple[str, ...] = ("LTXImageToVideoPipeline", "LTXPipeline")
    parts: tuple[Part, ...] = (
        Part("text_encoder", "text", ("T5EncoderModel",), blocks="encoder.block"),
        Part(
            "transformer", "denoiser", ("LTXVideoTransformer3DModel",), blocks="transformer_blocks"
        ),
        Part("vae", "vae", ("AutoencoderKLLTXVideo",)),
    )
    architectures: Mapping[str, Architecture] = MappingProxyType(OF_LTX)
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": ("T5Tokenizer", "T5TokenizerFast"),
            "scheduler": ("FlowMatchEulerDiscreteScheduler",),
        }
    )

    @property
    def counting(self) -> Counting:
        from src.pipelines.stock_only.counting import StockCounting
        from src.pipelines.stock_only.other_stages import ltx_stages

        return StockCounting(self.parts, ltx_stages)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        transformer = read(folder / "transformer" / "config.json")
        if transformer.get("patch_size", 1) != 1 or transformer.get("patch_size_t", 1) != 1:
            raise ValueError("its transformer's patches are larger than a latent cell")
        return ModelSpec(
            id=folder.resolve().name,
            family=self.name,
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
                baseline_num_inference_steps=50,
                baseline_guidance_scale=3.0,
            ),
            schedule=_schedule(read(folder / "scheduler" / "scheduler_config.json")),
            licence="see the folder's own card",
        )

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        if count < FEWEST and spec.schedule.terminal:
            raise BadInputError(f"the scheduler of {spec.id} cannot make 1 step; take {FEWEST}")
        frames = num_frames or spec.defaults.num_frames
        mu = flow_mu(_tokens(spec.native, frames), spec.schedule)
        return Timesteps(*euler_flow(count, mu, spec.schedule))

    def set_timesteps(self, scheduler: Any, plan: Plan, device: str) -> None:
        schedule = _schedule(scheduler.config)
        scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / plan.num_inference_steps, plan.num_inference_steps),
            mu=flow_mu(_tokens(plan.native, plan.num_frames), schedule),
            device=device,
        )

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """decode_*: what the cards of the later forms ask for; the first form takes no notice."""
        return words(plan) | {
            "guidance_scale": plan.guidance_scale,
            "max_sequence_length": plan.max_sequence_length,
            "frame_rate": round(plan.fps),
            "decode_timestep": 0.05,
            "decode_noise_scale": 0.025,
        }


def _tokens(size: Size, frames: int) -> int:
    return ((frames - 1) // FRAMES_A_LATENT + 1) * (size.height // STEP) * (size.width // STEP)


def _schedule(scheduler: Mapping[str, Any]) -> Schedule:
    dynamic = scheduler.get("use_dynamic_shifting", False)
    if dynamic and scheduler.get("time_shift_type", "exponential") != "exponential":
        raise ValueError("its scheduler does not shift exponentially")
    shifts = [
        scheduler.get(name, usual)
        for name, usual in (("base_shift", 0.5), ("max_shift", 1.15), ("base_image_seq_len", 256),
                            ("max_image_seq_len", 4096))
    ]  # fmt: skip
    return Schedule(
        shift=scheduler.get("shift", 1.0),
        shifts=tuple(shifts) if dynamic else None,
        terminal=scheduler.get("shift_terminal"),
        train_timesteps=scheduler.get("num_train_timesteps", 1000),
    )
