"""The configurations of encoders that several families share: sizes without weights, as the
encoders' own cards have them."""

from typing import Any

T5_XXL: dict[str, Any] = {
    "vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24,
    "num_heads": 64, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
UMT5_XXL: dict[str, Any] = T5_XXL | {"vocab_size": 256384}
CLIP_H: dict[str, Any] = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 16, "patch_size": 14, "image_size": 224,
}  # fmt: skip
