"""The configuration of HunyuanVideo image to video: sizes without weights. Transformer and VAE are
what diffusers' classes have without being told; encoders are as their cards name them: Llama 3 of 8
billion with LLaVA's image tower, CLIP's large text model."""

from typing import Any

from src.pipelines.sides import Architecture

TOWER: dict[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "image_size": 336,
    "projection_dim": 768,
}  # fmt: skip
LLAMA_3: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 128320, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
}  # fmt: skip
CLIP_L: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "projection_dim": 768,
}  # fmt: skip
ARCHITECTURES: dict[str, Architecture] = {
    "hunyuan-video-i2v": {
        "text_encoder": {
            "vision_config": TOWER, "text_config": LLAMA_3, "image_token_index": 128257,
            "pad_token_id": 128258,
        },
        "text_encoder_2": CLIP_L,
        "transformer": {"image_condition_type": "token_replace"},
        "vae": {},
    }
}  # fmt: skip
