"""The configuration of LTX-2's first form: sizes without weights. All parts but the text encoder
are what diffusers' classes have without being told; the encoder is Gemma 3 of 12 billion, as its
card names it."""

from typing import Any

from src.pipelines.sides import Architecture

GEMMA_3: dict[str, Any] = {
    "model_type": "gemma3_text", "vocab_size": 262208, "hidden_size": 3840,
    "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "sliding_window": 1024,
}  # fmt: skip
TOWER: dict[str, Any] = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
    "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 896, "patch_size": 14,
    "vision_use_head": False,
}  # fmt: skip
ARCHITECTURES: dict[str, Architecture] = {
    "ltx-2": {
        "text_encoder": {"text_config": GEMMA_3, "vision_config": TOWER},
        "connectors": {},
        "transformer": {},
        "vae": {"spatial_compression_ratio": 32, "temporal_compression_ratio": 8},
        "audio_vae": {},
        "vocoder": {},
    }
}
