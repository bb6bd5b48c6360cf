"""The true configurations of the large models, as their folders on the hub have them: sizes without
weights.
"""

from typing import Any

from src.pipelines.encoders import T5_XXL

Architecture = dict[str, dict[str, Any]]

VAE = {
    "block_out_channels": (128, 256, 256, 512), "latent_channels": 16, "layers_per_block": 3,
    "norm_num_groups": 32, "scaling_factor": 0.7, "sample_height": 480, "sample_width": 720,
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
}  # fmt: skip
COGVIDEOX_5B: Architecture = {
    "text_encoder": T5_XXL,
    "transformer": {
        "num_attention_heads": 48, "attention_head_dim": 64, "in_channels": 32, "out_channels": 16,
        "num_layers": 42, "time_embed_dim": 512, "text_embed_dim": 4096, "sample_width": 90,
        "sample_height": 60, "sample_frames": 49, "patch_size": 2, "max_text_seq_length": 226,
        "use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": True,
    },
    "vae": VAE,
}  # fmt: skip
COGVIDEOX_1_5_5B: Architecture = {
    "text_encoder": T5_XXL,
    "transformer": COGVIDEOX_5B["transformer"] | {
        "sample_width": 300, "sample_height": 300, "sample_frames": 81, "patch_size_t": 2,
        "patch_bias": False, "ofs_embed_dim": 512, "use_learned_positional_embeddings": False,
    },
    "vae": VAE,
}  # fmt: skip
ARCHITECTURES = {"cogvideox-5b-i2v": COGVIDEOX_5B, "cogvideox1.5-5b-i2v": COGVIDEOX_1_5_5B}
