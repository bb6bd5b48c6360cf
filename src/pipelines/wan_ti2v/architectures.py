"""The configuration of Wan 2.2 TI2V-5B: sizes without weights, as diffusers' conversion script and
the text encoder's card have it."""

from typing import Any

from src.pipelines.encoders import UMT5_XXL
from src.pipelines.sides import Architecture

TRANSFORMER: dict[str, Any] = {
    "attention_head_dim": 128, "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336,
    "in_channels": 48, "out_channels": 48, "text_dim": 4096, "freq_dim": 256,
}  # fmt: skip
VAE: dict[str, Any] = {
    "base_dim": 160, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12,
    "decoder_base_dim": 256, "scale_factor_temporal": 4, "scale_factor_spatial": 16,
    "patch_size": 2, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip
ARCHITECTURES: dict[str, Architecture] = {
    "wan2.2-ti2v-5b": {"text_encoder": UMT5_XXL, "transformer": TRANSFORMER, "vae": VAE}
}
