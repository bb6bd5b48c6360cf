"""The configuration of Stable Video Diffusion XT: sizes without weights. The U-Net is what
diffusers' class has without being told; encoder and VAE are as the model's card names them.
"""

from src.pipelines.encoders import CLIP_H
from src.pipelines.sides import Architecture

ARCHITECTURES: dict[str, Architecture] = {
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
