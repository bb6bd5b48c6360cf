"""The configurations of LTX-Video in its first form and of Stable Video Diffusion XT: sizes without
weights. Transformer, U-Net and LTX's VAE are what diffusers' classes have without being told; the
encoders and the other VAE are as the models' cards name them.
"""

from typing import Any

from src.pipelines.sides import Architecture
from src.pipelines.stock_only.wan_architectures import CLIP_H

T5_XXL: dict[str, Any] = {
    "vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24,
    "num_heads": 64, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
OF_LTX: dict[str, Architecture] = {
    "ltx-video": {"text_encoder": T5_XXL, "transformer": {}, "vae": {}}
}
OF_SVD: dict[str, Architecture] = {
    "svd-xt": {
        "image_encoder": CLIP_H | {"projection_dim": 1024},
        "unet": {"num_frames": 25},
        "vae": {
            "block_out_channels": (128, 256, 512, 512),
            "layers_per_block": 2,
            "down_block_types": ("DownEncoderBlock2D",) * 4,
        },
    }
}
