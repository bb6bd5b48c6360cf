"""The configurations of the published Wan models: sizes without weights, as diffusers' conversion
script and the text and image encoders' cards have them."""

from typing import Any

from src.pipelines.encoders import CLIP_H, UMT5_XXL
from src.pipelines.sides import Architecture

LARGE: dict[str, Any] = {
    "attention_head_dim": 128, "num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824,
    "in_channels": 36, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
}  # fmt: skip
OF_2_1: Architecture = {
    "text_encoder": UMT5_XXL,
    "image_encoder": CLIP_H,
    "transformer": LARGE | {"image_dim": 1280, "added_kv_proj_dim": 5120},
    "vae": {},
}
ARCHITECTURES: dict[str, Architecture] = {
    "wan2.2-i2v-a14b": {
        "text_encoder": UMT5_XXL,
        "transformer": LARGE,
        "transformer_2": LARGE,
        "vae": {},
    },
    "wan2.1-i2v-14b-480p": OF_2_1,
    "wan2.1-i2v-14b-720p": OF_2_1,
}
