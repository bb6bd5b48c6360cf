"""The published networks of STAR and SDXL at full size, on the meta device: sizes, no weights."""

from typing import Any

import torch

from src.upscaling.star.network import StarNetwork

LAYERS = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
UNET = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048, "layers_per_block": 2, "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip


def star() -> tuple[StarNetwork, Any]:
    """The network, and the VAE of Stable Video Diffusion."""
    from diffusers import AutoencoderKLTemporalDecoder

    told = LAYERS | {"down_block_types": ("DownEncoderBlock2D",) * 4, "force_upcast": True}
    with torch.device("meta"):
        network, vae = StarNetwork().eval(), AutoencoderKLTemporalDecoder.from_config(told).eval()
    return network, vae.to("meta")  # some of its parameters are made on the CPU all the same


def sdxl() -> tuple[Any, Any]:
    """UNet and VAE."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4,
              "up_block_types": ("UpDecoderBlock2D",) * 4}  # fmt: skip
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNET).eval()
        vae = AutoencoderKL.from_config(LAYERS | blocks).eval()
    return unet, vae
