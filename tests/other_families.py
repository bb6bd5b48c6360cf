"""Tiny seeded models of the families of other classes than CogVideoX's, as diffusers folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from src.pipelines.building import train_tokenizer

CORPUS = ["pan left", "press"]


def say(folder: Path, **facts: Any) -> Path:
    """What the folder says of itself beside its configurations."""
    (folder / "newsreel.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    return folder


@contextmanager
def seeded() -> Iterator[None]:
    """Weights drawn from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def umt5() -> tuple[Any, Any]:
    """A tokenizer, and an encoder of 32 channels."""
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = train_tokenizer(CORPUS, 120, 32)
    sizes = UMT5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return tokenizer, UMT5EncoderModel(sizes).eval()


def wan_transformer(inside: int, image: int | None = None, outside: int = 16) -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=inside, out_channels=outside,
        text_dim=32, freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32, image_dim=image,
        added_kv_proj_dim=24 if image else None,
    ).eval()  # fmt: skip


def wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1] * 4, num_res_blocks=1,
        temperal_downsample=[False, True, True],
    ).eval()  # fmt: skip


def clip_h() -> Any:
    """An image encoder of 4 channels."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=4, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
            image_size=28, patch_size=14,
        )
    ).eval()  # fmt: skip


def build_wan(folder: Path, **parts: Any) -> Path:
    """parts: those that one Wan has and another has not."""
    from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline

    tokenizer, encoder = umt5()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    pipe = WanImageToVideoPipeline(
        tokenizer=tokenizer, text_encoder=encoder, vae=wan_vae(), scheduler=scheduler, **parts
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    return say(
        folder, native={"width": 48, "height": 32}, frames={"step": 4, "most": 17}, num_frames=9
    )


def build_wan_ti2v(folder: Path) -> Path:
    """Wan 2.2 TI2V-5B: a timestep for each token, the photograph as the first latent frame."""
    with seeded():
        return build_wan(folder, transformer=wan_transformer(16), expand_timesteps=True)


def build_wan_a14b(folder: Path) -> Path:
    """Wan 2.2 A14B: two experts."""
    with seeded():
        return build_wan(
            folder,
            transformer=wan_transformer(36),
            transformer_2=wan_transformer(36),
            boundary_ratio=0.9,
        )


def build_wan_2_1(folder: Path) -> Path:
    """Wan 2.1: an encoder looks at the photograph beside the VAE."""
    from transformers import CLIPImageProcessorPil

    size = {"height": 28, "width": 28}
    with seeded():
        return build_wan(
            folder,
            transformer=wan_transformer(36, image=4),
            image_encoder=clip_h(),
            image_processor=CLIPImageProcessorPil(size=size, crop_size=size),
        )


def build_ltx(folder: Path, told: bool = False) -> Path:
    """LTX-Video, with noise levels that depend on the tokens. told: of the later forms, whose VAE
    is told a timestep and takes noise away."""
    import diffusers
    from transformers import T5Config, T5EncoderModel

    with seeded():
        tokenizer = train_tokenizer(CORPUS, 120, 32)
        sizes = T5Config(
            vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2
        )
        pipe = diffusers.LTXImageToVideoPipeline(
            tokenizer=tokenizer,
            text_encoder=T5EncoderModel(sizes).eval(),
            transformer=diffusers.LTXVideoTransformer3DModel(
                in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8,
                cross_attention_dim=32, num_layers=2, caption_channels=32,
            ).eval(),
            vae=diffusers.AutoencoderKLLTXVideo(
                latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
                encoder_causal=True, decoder_causal=False, timestep_conditioning=told,
            ).eval(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05,
                base_image_seq_len=1024, max_image_seq_len=4096, shift_terminal=0.1,
            ),
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return say(
        folder, native={"width": 64, "height": 32}, frames={"step": 8, "most": 17}, num_frames=9
    )


def build_svd(folder: Path) -> Path:
    """Stable Video Diffusion of nine frames."""
    import diffusers
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    with seeded():
        pipe = diffusers.StableVideoDiffusionPipeline(
            unet=diffusers.UNetSpatioTemporalConditionModel(
                sample_size=16, block_out_channels=(32, 32), addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=24, layers_per_block=1, num_frames=9,
                down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
                up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
                cross_attention_dim=8, num_attention_heads=(2, 2),
            ).eval(),
            vae=diffusers.AutoencoderKLTemporalDecoder(
                block_out_channels=(32,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
            ).eval(),
            image_encoder=CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=4, intermediate_size=8, num_hidden_layers=1, projection_dim=8,
                    num_attention_heads=2, image_size=224, patch_size=112,
                )
            ).eval(),
            scheduler=diffusers.EulerDiscreteScheduler(
                prediction_type="v_prediction", timestep_type="continuous", steps_offset=1,
                use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0,
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            ),
            feature_extractor=CLIPImageProcessorPil(),
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return say(folder, native={"width": 64, "height": 32})
