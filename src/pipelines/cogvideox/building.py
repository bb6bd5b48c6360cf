"""The classes of a CogVideoX pipeline in the sizes of a blueprint, untrained."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from src.pipelines.blueprint import Blueprint

if TYPE_CHECKING:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5EncoderModel


def text_encoder(blueprint: Blueprint, vocab_size: int) -> T5EncoderModel:
    """An untrained T5 encoder of the blueprint's sizes, for a vocabulary of `vocab_size` pieces."""
    from transformers import T5Config, T5EncoderModel

    sizes: dict[str, Any] = dict(
        vocab_size=vocab_size, d_model=blueprint.text_width,
        d_kv=blueprint.text_width // blueprint.text_heads, d_ff=blueprint.text_feed_forward,
        num_layers=blueprint.text_layers, num_heads=blueprint.text_heads,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(T5Config(**sizes))


def autoencoder(blueprint: Blueprint) -> AutoencoderKLCogVideoX:
    """An untrained 3D VAE of the blueprint's sizes."""
    from diffusers import AutoencoderKLCogVideoX

    blocks = len(blueprint.vae_channels)
    sizes: dict[str, Any] = dict(
        down_block_types=("CogVideoXDownBlock3D",) * blocks,
        up_block_types=("CogVideoXUpBlock3D",) * blocks,
        block_out_channels=blueprint.vae_channels, latent_channels=blueprint.latent_channels,
        layers_per_block=blueprint.vae_layers, norm_num_groups=blueprint.vae_groups,
        sample_height=blueprint.height, sample_width=blueprint.width,
        scaling_factor=blueprint.scaling_factor,
        temporal_compression_ratio=blueprint.temporal_ratio,
    )  # fmt: skip
    return AutoencoderKLCogVideoX(**sizes)


def transformer(blueprint: Blueprint) -> CogVideoXTransformer3DModel:
    """An untrained transformer; with rotary positions alone one checkpoint serves several
    lengths."""
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(
        num_attention_heads=blueprint.heads, attention_head_dim=blueprint.head_dim,
        in_channels=2 * blueprint.latent_channels, out_channels=blueprint.latent_channels,
        time_embed_dim=blueprint.time_embed, text_embed_dim=blueprint.text_width,
        num_layers=blueprint.layers, patch_size=blueprint.patch, patch_size_t=blueprint.patch_t,
        activation_fn=blueprint.activation,
        temporal_compression_ratio=blueprint.temporal_ratio,
        sample_width=blueprint.width // blueprint.spatial_ratio,
        sample_height=blueprint.height // blueprint.spatial_ratio,
        sample_frames=blueprint.num_frames, max_text_seq_length=blueprint.text_length,
        use_rotary_positional_embeddings=True,
        use_learned_positional_embeddings=blueprint.positions,
    )  # fmt: skip


def assemble(blueprint: Blueprint, tokenizer: Any, seed: int) -> Any:
    """A `diffusers.CogVideoXImageToVideoPipeline` in float32 on the CPU, its weights drawn from
    `seed`."""
    import torch
    from diffusers import CogVideoXDPMScheduler, CogVideoXImageToVideoPipeline

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = {
            "text_encoder": text_encoder(blueprint, len(tokenizer)),
            "vae": autoencoder(blueprint),
            "transformer": transformer(blueprint),
        }
    scheduler = CogVideoXDPMScheduler(**dataclasses.asdict(blueprint.scheduler))
    for part in parts.values():
        part.eval()
    return CogVideoXImageToVideoPipeline(tokenizer=tokenizer, scheduler=scheduler, **parts)


def form(blueprint: Blueprint) -> dict[str, dict[str, Any]]:
    """What the configuration files of its parts say of the sizes that decide the weights' shapes
    and meaning."""
    return {
        "transformer": {
            "num_layers": blueprint.layers, "num_attention_heads": blueprint.heads,
            "attention_head_dim": blueprint.head_dim, "patch_size": blueprint.patch,
            "patch_size_t": blueprint.patch_t, "out_channels": blueprint.latent_channels,
            "activation_fn": blueprint.activation,
        },
        "vae": {
            "block_out_channels": list(blueprint.vae_channels),
            "latent_channels": blueprint.latent_channels,
            "temporal_compression_ratio": blueprint.temporal_ratio,
        },
        "scheduler": {"prediction_type": blueprint.scheduler.prediction_type},
    }  # fmt: skip
