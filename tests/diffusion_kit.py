"""Diffusion upscalers in tiny sizes: seeded, untrained checkpoints of the true classes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from src.catalog import upscalers
from src.core.paths import CONFIGS
from src.upscaling.dove.folder import PROMPT

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def build_dove(folder: Path, **transformer) -> Path:
    """A DOVE checkpoint: CogVideoX 1.5's classes as its folder has them, a thousandth as wide."""
    import diffusers

    sizes = dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4,
                 num_layers=2, time_embed_dim=16, text_embed_dim=12, max_text_seq_length=6,
                 sample_width=512, sample_height=512, sample_frames=81, patch_size=2,
                 patch_size_t=2, patch_bias=False, use_rotary_positional_embeddings=True,
                 use_learned_positional_embeddings=False)  # fmt: skip
    blocks = 4
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = diffusers.CogVideoXTransformer3DModel(**sizes | transformer)
        vae = diffusers.AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * blocks, latent_channels=4,
            up_block_types=("CogVideoXUpBlock3D",) * blocks, block_out_channels=(4,) * blocks,
            layers_per_block=1, norm_num_groups=2, scaling_factor=0.7, temporal_compression_ratio=4,
        )  # fmt: skip
        prompt = torch.randn(sizes["max_text_seq_length"], sizes["text_embed_dim"])
    made.save_pretrained(folder / "transformer")
    vae.save_pretrained(folder / "vae")
    diffusers.CogVideoXDDIMScheduler(
        **SCHEDULE, prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=1.0
    ).save_pretrained(folder / "scheduler")
    (folder / PROMPT).parent.mkdir(parents=True, exist_ok=True)
    save_file({"prompt_embedding": prompt.bfloat16()}, folder / PROMPT)
    return folder


def use_folder(patch: pytest.MonkeyPatch, configs: Path, upscaler: str, folder: Path) -> None:
    """The upscaler of the catalog with its files in this folder, whatever their hashes."""
    target = configs / "upscalers"
    target.mkdir(parents=True, exist_ok=True)
    for name in upscalers.UPSCALERS:
        if not (target / f"{name}.yaml").exists():
            (target / f"{name}.yaml").write_bytes(
                (CONFIGS / "upscalers" / f"{name}.yaml").read_bytes()
            )
    text = (CONFIGS / "upscalers" / f"{upscaler}.yaml").read_text("utf-8").partition("\nfiles:")[0]
    text = text.replace(f"folder: checkpoints/{upscaler}", f"folder: {folder}")
    (target / f"{upscaler}.yaml").write_text(text + "\n", encoding="utf-8")
    patch.setattr(upscalers, "CONFIGS", configs)


def build_sdxl(folder: Path) -> Path:
    """SDXL's classes, a thousandth as wide, with embeddings drawn from a seed."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(2, 4), layers_per_block=1, norm_num_groups=1,
            cross_attention_dim=64, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            attention_head_dim=(1, 2), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=80,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(4,) * 4, layers_per_block=1, norm_num_groups=1, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        prompt, pooled = torch.randn(1, 7, 64), torch.randn(1, 32)
    unet.save_pretrained(folder / "unet", variant="fp16")
    vae.save_pretrained(folder / "vae")
    diffusers.EulerDiscreteScheduler(
        **SCHEDULE, timestep_spacing="leading", steps_offset=1
    ).save_pretrained(folder / "scheduler")
    (folder / "prompt").mkdir()
    tensors = {"prompt_embeds": prompt, "pooled": pooled}
    save_file(tensors, folder / "prompt" / "refine.safetensors")
    return folder
