"""The baseline: diffusers' own pipeline call, untouched, with progress through its public callback
and cancel before each block.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from src.core.finite import check_made, not_finite
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.family import Family
from src.pipelines.roles import loaded, present

TOLERANCE = 1e-3


def run_stock(
    family: Family,
    pipe: Any,
    plan: Plan,
    pixels: np.ndarray,
    generator: torch.Generator,
    listener: Listener,
    cancel: CancelToken,
) -> np.ndarray:
    """Generate frames (F, H, W, 3) uint8 from pixels (H, W, 3) uint8. Raises CancelledError before
    the next block of what denoises or part of the VAE, and NotFiniteError where latents or pixels
    are not finite.
    """

    def on_step_end(_: Any, step: int, visited: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        cancel.check()
        if abs(float(visited) - plan.timesteps[step]) > TOLERANCE:
            raise AssertionError(f"step {step + 1} is at {visited}, the plan says otherwise")
        check_made(
            kwargs["latents"], f"the latents of step {step + 1} of {plan.num_inference_steps}", plan
        )
        listener(Progress("denoise", step + 1, plan.num_inference_steps))
        return kwargs

    try:
        with stoppable(family, pipe, cancel):
            frames = pipe(
                image=Image.fromarray(pixels),
                height=plan.native.height,
                width=plan.native.width,
                num_frames=plan.num_frames,
                num_inference_steps=plan.num_inference_steps,
                generator=generator,
                callback_on_step_end=on_step_end,
                output_type="np",
                **family.stock.stock_arguments(plan),
            ).frames[0]
    finally:
        pipe.maybe_free_model_hooks()
    if not np.isfinite(frames).all():
        raise not_finite("the decoder's pixels", plan)
    return (frames * 255).round().astype(np.uint8)


@contextmanager
def stoppable(family: Family, pipe: Any, cancel: CancelToken) -> Iterator[None]:
    """Look for the wish to stop before each block and each part of the VAE, for this long only."""
    with ExitStack() as stack:
        for module in _watched(family, pipe):
            handle = module.register_forward_pre_hook(lambda *_: cancel.check())
            stack.callback(handle.remove)
        yield


def _watched(family: Family, pipe: Any) -> Iterator[nn.Module]:
    for part, module in present(family, pipe, "denoiser"):
        yield from part.blocks_of(module)
    for vae in loaded(family, pipe, "vae"):
        yield from vae.children()
