"""The configurations of the published Wan models: sizes without weights, as diffusers' conversion
script and the text and image encoders' cards have them."""

from typing import Any

from src.pipelines.encoders import CLIP_H, UMT5_XXL
from src.pipelines.sides import Architecture

LARGE: dict[str, Any] = {
    "attention_head_dim": 128, "num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824,
    "in_channels": 36, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
}  # fmt: skip
TI2V: dict[str, Any] = LARGE | {
    "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336, "in_channels": 48,
    "out_channels": 48,
}  # fmt: skip
VAE_OF_2_2: dict[str, Any] = {
    "base_dim": 160, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12,
    "decoder_base_dim": 256, "scale_factor_temporal": 4, "scale_factor_spatial": 16,
    "patch_size": 2, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip
OF_2_1: Architecture = {
    "text_encoder": UMT5_XXL,
    "image_encoder": CLIP_H,
    "transformer": LARGE | {"image_dim": 1280, "added_kv_proj_dim": 5120},
    "vae": {},
}
ARCHITECTURES: dict[str, Architecture] = {
    "wan2.2-ti2v-5b": {"text_encoder": UMT5_XXL, "transformer": TI2V, "vae": VAE_OF_2_2},
    "wan2.2-i2v-a14b": {
        "text_encoder": UMT5_XXL,
        "transformer": LARGE,
        "transformer_2": LARGE,
        "vae": {},
    },
    "wan2.1-i2v-14b-480p": OF_2_1,
    "wan2.1-i2v-14b-720p": OF_2_1,
}
