"""The 5B architecture with random weights, built straight on a device: speed and memory need no
trained weights.
"""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXTransformer3DModel,
)
from torch import nn
from transformers import T5Config, T5EncoderModel

from src.pipelines.building import train_tokenizer
from src.pipelines.families import family_named

CORPUS = [
    "press briefing at city hall, slow push in",
    "market commentary on breaking news, pan left",
]
LARGE: dict[str, Any] = dict(family_named("cogvideox").architectures["cogvideox-5b-i2v"])
SMALL: dict[str, dict[str, Any]] = {
    "text_encoder": LARGE["text_encoder"] | {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1,
                                             "num_heads": 4},
    "transformer": LARGE["transformer"] | {
        "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 8, "out_channels": 4,
        "num_layers": 2, "time_embed_dim": 16, "text_embed_dim": 32, "sample_width": 8,
        "sample_height": 6, "sample_frames": 9, "max_text_seq_length": 32,
    },
    "vae": LARGE["vae"] | {
        "block_out_channels": (8, 8, 8, 8), "latent_channels": 4, "layers_per_block": 1,
        "norm_num_groups": 4, "sample_height": 48, "sample_width": 64,
    },
}  # fmt: skip


def build(
    sizes: dict[str, dict[str, Any]], device: torch.device, dtype: torch.dtype
) -> CogVideoXImageToVideoPipeline:
    """A whole pipeline on `device`, weights drawn from N(0, 0.02), the same each time; the
    checkpoint's scheduler.
    """
    torch.manual_seed(0)
    makers = {
        "text_encoder": lambda: T5EncoderModel(T5Config(**sizes["text_encoder"])),
        "transformer": lambda: CogVideoXTransformer3DModel(**sizes["transformer"]),
        "vae": lambda: AutoencoderKLCogVideoX(**sizes["vae"]),
    }
    parts = {name: _on(device, dtype, make).eval() for name, make in makers.items()}
    scheduler = CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True,
        snr_shift_scale=1.0, timestep_spacing="trailing", set_alpha_to_one=True, clip_sample=False,
    )  # fmt: skip
    tokenizer = train_tokenizer(CORPUS, 120, sizes["transformer"]["max_text_seq_length"])
    pipe = CogVideoXImageToVideoPipeline(tokenizer=tokenizer, scheduler=scheduler, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _on(device: torch.device, dtype: torch.dtype, make: Any) -> nn.Module:
    """Build under the device's context in `dtype`, so that 10 billion weights never pass through
    the CPU.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            module = make()
    finally:
        torch.set_default_dtype(before)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
    return module
