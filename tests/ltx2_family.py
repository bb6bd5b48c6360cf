"""A tiny seeded LTX-2, as a diffusers folder: all its parts, those of the sound too."""

from pathlib import Path
from typing import Any

from tests.other_families import say, seeded

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
LAYERS, WIDTH = 2, 16
"""Of the text encoder."""


def build_ltx2(folder: Path) -> Path:
    """Of two latent frames, the first of which is the photograph's."""
    import diffusers
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    with seeded():
        tokenizer = gemma_tokenizer()
        pipe = diffusers.LTX2ImageToVideoPipeline(
            tokenizer=tokenizer, text_encoder=gemma(tokenizer),
            connectors=LTX2TextConnectors(
                caption_channels=WIDTH, text_proj_in_factor=LAYERS + 1,
                video_connector_num_attention_heads=2, video_connector_attention_head_dim=8,
                video_connector_num_layers=1, video_connector_num_learnable_registers=8,
                audio_connector_num_attention_heads=2, audio_connector_attention_head_dim=8,
                audio_connector_num_layers=1, audio_connector_num_learnable_registers=8,
            ).eval(),
            transformer=diffusers.LTX2VideoTransformer3DModel(
                in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=12,
                cross_attention_dim=24, audio_in_channels=8, audio_out_channels=8,
                audio_num_attention_heads=2, audio_attention_head_dim=8,
                audio_cross_attention_dim=16, num_layers=2, caption_channels=WIDTH,
            ).eval(),
            vae=diffusers.AutoencoderKLLTX2Video(
                latent_channels=8, block_out_channels=(8,) * 4,
                decoder_block_out_channels=(8, 16, 32),
                layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 4,
                spatial_compression_ratio=32, temporal_compression_ratio=8,
            ).eval(),
            audio_vae=diffusers.AutoencoderKLLTX2Audio(
                base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2,
                mel_bins=16,
            ).eval(),
            vocoder=LTX2Vocoder(
                in_channels=32, hidden_channels=8, upsample_kernel_sizes=[4], upsample_factors=[2],
                resnet_kernel_sizes=[3], resnet_dilations=[[1]],
            ).eval(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05,
                base_image_seq_len=1024, max_image_seq_len=4096, shift_terminal=0.1,
            ),
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return say(
        folder, native={"width": 96, "height": 64}, frames={"step": 8, "most": 17}, num_frames=9
    )


def gemma_tokenizer() -> Any:
    from transformers import GemmaTokenizer

    tokens = [*SPECIAL, *LETTERS, "\u2581"]
    return GemmaTokenizer(vocab={token: place for place, token in enumerate(tokens)}, merges=[])


def gemma(tokenizer: Any) -> Any:
    """A language model of two layers; nobody asks its image tower."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    words = Gemma3TextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=WIDTH,
        num_hidden_layers=LAYERS, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    tower = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    config = Gemma3Config(text_config=words, vision_config=tower, mm_tokens_per_image=4)
    return Gemma3ForConditionalGeneration(config).eval()
