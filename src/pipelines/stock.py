"""The baseline: diffusers' own pipeline call, untouched, with progress and cancel through its
public callback.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image

from src.core.finite import check_made, not_finite
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.family import Family


def run_stock(
    family: Family,
    pipe: Any,
    plan: Plan,
    pixels: np.ndarray,
    generator: torch.Generator,
    listener: Listener,
    cancel: CancelToken,
) -> np.ndarray:
    """Generate frames (F, H, W, 3) uint8 from pixels (H, W, 3) uint8. Raises CancelledError between
    steps, and NotFiniteError where latents or pixels are not finite.
    """

    def on_step_end(_: Any, step: int, __: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        cancel.check()
        check_made(
            kwargs["latents"], f"the latents of step {step + 1} of {plan.num_inference_steps}", plan
        )
        listener(Progress("denoise", step + 1, plan.num_inference_steps))
        return kwargs

    try:
        frames = pipe(
            image=Image.fromarray(pixels),
            prompt=plan.prompt,
            negative_prompt=plan.negative_prompt or None,
            height=plan.native.height,
            width=plan.native.width,
            num_frames=plan.num_frames,
            num_inference_steps=plan.num_inference_steps,
            generator=generator,
            callback_on_step_end=on_step_end,
            output_type="np",
            **family.loop.stock_arguments(plan),
        ).frames[0]
    finally:
        pipe.maybe_free_model_hooks()
    if not np.isfinite(frames).all():
        raise not_finite("the decoder's pixels", plan)
    return (frames * 255).round().astype(np.uint8)
