"""Our denoising loop: the stock pipeline's arithmetic in parts that report, cancel, schedule and preview.

Bit-equal to `CogVideoXImageToVideoPipeline.__call__` at equal settings (tests/pipelines/test_denoise.py), for it
draws from the generator and rounds in the same order. What the transformer predicts, the velocity or the clean
latents, is its scheduler's business; the photograph's latents are joined to the noisy ones on the channel axis.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.core.errors import NotFiniteError
from src.core.finite import check_made, is_finite
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.tuning import drop_state

TILE_OVERLAP = 0.25
Preview = Callable[[int, Tensor], None]


@dataclass
class Conditioning:
    """What the loop starts from. B is 2 when guidance needs the unconditional branch, else 1.

    prompt_embeds: (B, S, D), unconditional first. latents: (1, F, C, h, w) noise.
    image_latents: (1, F, C, h, w), the photograph in the first frame and zeros after.
    rotary: cosines and sines of the positions, None for models without. ofs: (1,) for 1.5, else None.
    padding: latent frames in front that a model of several to a patch adds and the decoder must not see.
    """

    prompt_embeds: Tensor
    latents: Tensor
    image_latents: Tensor
    rotary: tuple[Tensor, Tensor] | None
    ofs: Tensor | None
    padding: int


@torch.no_grad()
def condition(pipe: Any, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> Conditioning:
    """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting noise."""
    embeds = encode_prompts(pipe, plan)
    check_made(embeds, "the text embeddings (before the first step)", plan)
    image = pipe.video_processor.preprocess(Image.fromarray(pixels), plan.native.height, plan.native.width)
    device = pipe._execution_device
    frames, padding = padded_frames(pipe, plan.num_frames)
    latents, image_latents = pipe.prepare_latents(
        image.to(device, dtype=embeds.dtype),
        1,
        pipe.transformer.config.in_channels // 2,
        frames,
        plan.native.height,
        plan.native.width,
        embeds.dtype,
        device,
        generator,
    )
    check_made(image_latents, "the photograph's latents (before the first step)", plan)
    rotary = rotary_positions(pipe, plan, latents.shape[1], device)
    ofs = None if pipe.transformer.config.ofs_embed_dim is None else latents.new_full((1,), fill_value=2.0)
    return Conditioning(embeds, latents, image_latents, rotary, ofs, padding)


def encode_prompts(pipe: Any, plan: Plan) -> Tensor:
    """(B, S, D) text embeddings; the unconditional branch is there only if some step uses guidance."""
    guided = plan.guidance_scale > 1
    positive, negative = pipe.encode_prompt(
        plan.prompt,
        plan.negative_prompt,
        guided,
        max_sequence_length=plan.max_sequence_length,
        device=pipe._execution_device,
    )
    return torch.cat([negative, positive]) if guided else positive


def padded_frames(pipe: Any, num_frames: int) -> tuple[int, int]:
    """Frames to ask the VAE's shape for, and the latent frames added where a patch holds several."""
    step = pipe.transformer.config.patch_size_t
    latent_frames = (num_frames - 1) // pipe.vae_scale_factor_temporal + 1
    if step is None or latent_frames % step == 0:
        return num_frames, 0
    padding = step - latent_frames % step
    return num_frames + padding * pipe.vae_scale_factor_temporal, padding


def rotary_positions(pipe: Any, plan: Plan, latent_frames: int, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Cosines and sines of the 3D rotary positions, or None for a model without them."""
    if not pipe.transformer.config.use_rotary_positional_embeddings:
        return None
    size = plan.native
    return pipe._prepare_rotary_positional_embeddings(size.height, size.width, latent_frames, device)


@dataclass
class Clip:
    """One clip on its way through the steps.

    generator: the clip's own, from which `condition` drew before. latents: (1, F, C, h, w). x0: the estimate of the
    clean ones, None where the solver gives none.
    """

    start: Conditioning
    generator: torch.Generator
    latents: Tensor | None = None
    x0: Tensor | None = None


@torch.no_grad()
def denoise(
    pipe: Any,
    plan: Plan,
    clips: Sequence[Clip],
    listener: Listener,
    cancel: CancelToken,
    preview: Preview | None = None,
) -> list[Tensor]:
    """Run the plan's timesteps for clips that share them; returns clean latents (1, F, C, h, w) without the padding.

    Only the transformer's forward is shared: everything random is a clip's own, and its step is computed by itself.
    preview is given the step and the first clip's estimate of the clean latents. Raises CancelledError between steps,
    NotFiniteError after a step whose latents are not finite.
    """
    for clip in clips:
        clip.latents = clip.start.latents * pipe.scheduler.init_noise_sigma
    previous = None
    for step, timestep in enumerate(pipe.scheduler.timesteps):
        cancel.check()
        pipe.transformer.newsreel_timestep = int(timestep)  # what a timestep-bound cache looks at
        if step and (plan.guidance[step] > 1) != (plan.guidance[step - 1] > 1):
            drop_state(pipe.transformer)
        predictions = predict(pipe, clips, timestep, plan.guidance[step], plan.prompts_per_forward)
        for clip, prediction in zip(clips, predictions, strict=True):
            latents = clip.latents
            latents, clip.x0 = advance(pipe.scheduler, prediction, clip.x0, timestep, previous, latents, clip.generator)
            clip.latents = latents.to(clip.start.prompt_embeds.dtype)
            check_made(clip.latents, f"the latents of step {step + 1} of {plan.num_inference_steps}", plan)
        previous = timestep
        listener(Progress("denoise", step + 1, plan.num_inference_steps))
        if preview is not None and clips[0].x0 is not None:
            preview(step, clips[0].x0)
    cancel.check()
    return [clip.latents[:, clip.start.padding :] for clip in clips]


def predict(pipe: Any, clips: Sequence[Clip], timestep: Tensor, scale: float, rows: int = 1) -> Sequence[Tensor]:
    """Each clip's prediction (1, F, C, h, w) in float32: p = p_u + w (p_c - p_u), arXiv:2207.12598, skipped for w <= 1.

    rows: clips in one forward, filled up with copies of the first. Kernels may round by the size of the batch: filled,
    a clip that was made in company is made again alone with the same bits.
    """
    together = [*clips, *[clips[0]] * (rows - len(clips))]
    branches = (0, -1) if scale > 1 else (-1,)
    pairs = [(clip, branch) for branch in branches for clip in together]
    joined = torch.cat([clip.latents for clip, _ in pairs])
    model_input = pipe.scheduler.scale_model_input(joined, timestep)
    model_input = torch.cat([model_input, torch.cat([clip.start.image_latents for clip, _ in pairs])], dim=2)
    # A cache of its own for unguided steps: their batch has another size.
    with pipe.transformer.cache_context("cond_uncond" if scale > 1 else "cond"):
        prediction = pipe.transformer(
            hidden_states=model_input,
            encoder_hidden_states=torch.stack([clip.start.prompt_embeds[branch] for clip, branch in pairs]),
            timestep=timestep.expand(len(pairs)),
            ofs=clips[0].start.ofs,
            image_rotary_emb=clips[0].start.rotary,
            return_dict=False,
        )[0].float()
    if scale > 1:
        unconditional, conditional = prediction.chunk(2)
        prediction = unconditional + scale * (conditional - unconditional)
    return prediction.split(1)[: len(clips)]


def advance(
    scheduler: Any,
    prediction: Tensor,
    old_x0: Tensor | None,
    timestep: Tensor,
    previous: Tensor | None,
    latents: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor | None]:
    """One scheduler step: the next latents and, where the solver gives it, the estimate of the clean ones."""
    if type(scheduler).__name__ != "CogVideoXDPMScheduler":
        return scheduler.step(prediction, timestep, latents, return_dict=False)[0], None
    return scheduler.step(prediction, old_x0, timestep, previous, latents, generator=generator, return_dict=False)


@torch.no_grad()
def decode(
    pipe: Any, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
) -> Iterator[np.ndarray]:
    """Decode latents (1, F, C, h, w) piece by piece; yields frames (n, H, W, 3) uint8 in order.

    The pieces and their convolution caches are those of `AutoencoderKLCogVideoX._decode`, so the frames are too;
    between pieces the run can be cancelled, and only one piece is held.
    """
    vae = pipe.vae
    z = 1 / pipe.vae_scaling_factor_image * latents.permute(0, 2, 1, 3, 4)
    if tiling:
        yield decode_tiled(vae, z)
        return
    size, count = vae.num_latent_frames_batch_size, z.shape[2]
    pieces, cache, begin = max(count // size, 1), None, 0
    for piece in range(pieces):
        cancel.check()
        end = size * (piece + 1) + count % size
        part = z[:, :, begin:end]
        part = part if vae.post_quant_conv is None else vae.post_quant_conv(part)
        sample, cache = vae.decoder(part, conv_cache=cache)
        begin = end
        listener(Progress("decode", piece + 1, pieces))
        yield to_uint8(sample)


def decode_tiled(vae: Any, z: Tensor) -> np.ndarray:
    """All frames at once in diffusers' overlapping tiles; only here, as tiled encoding fails on small sizes."""
    step = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = (step * 4 * math.ceil(side / 8) for side in z.shape[-2:])  # about half a side; see below
    # Latent tiles in multiples of 4 overlapping by a quarter: other fractions round apart and misplace the tiles.
    vae.enable_tiling(height, width, TILE_OVERLAP, TILE_OVERLAP)
    try:
        return to_uint8(vae.decode(z).sample)
    finally:
        vae.disable_tiling()


def to_uint8(sample: Tensor) -> np.ndarray:
    """(1, 3, F, H, W) in [-1, 1] to (F, H, W, 3) uint8, rounding as the stock image processor does.

    Raises NotFiniteError: cast to integers, what is not a number would be a colour.
    """
    if not is_finite(sample):
        raise NotFiniteError(
            "the decoder's pixels are not finite though the latents are, so that there is no picture; "
            "likely float16 overflows (try --dtype bfloat16 or float32), or the weights of the VAE are damaged"
        )
    unit = (sample[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()
    return (unit * 255).round().to(torch.uint8).cpu().numpy()
