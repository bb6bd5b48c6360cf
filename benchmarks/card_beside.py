"""The rows of `benchmarks.card` beside generating: optical flow, enlarging, training."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.card_bench import Bench, Told, median

RANK = 64


def flow(bench: Bench, told: Told) -> None:
    """TV-L1 of 48 pairs, as the temporal score takes it."""
    from src.motion.tvl1_params import TVL1Params
    from src.motion.tvl1_torch import TorchFlow

    pairs, height, width = (2, 16, 24) if bench.rehearse else (48, 480, 720)
    noise = np.random.default_rng(0).integers(
        0, 255, (pairs + 1, height // 8, width // 8), np.uint8
    )
    frames = noise.repeat(8, axis=1).repeat(8, axis=2)
    backend = TorchFlow(TVL1Params(), bench.device.type)
    told["first"], *rest = bench.seconds(
        lambda: backend.flow(frames[:-1], frames[1:]), 2 if bench.rehearse else 3
    )
    told["pairs"], told["warm"] = pairs, median(rest)


def upscaler(bench: Bench, told: Told) -> None:
    """A clip to twice its size, by each preset whose weights are here."""
    from src.core.errors import MissingWeightsError
    from src.core.plan import Size
    from src.upscaling.clips import PresetUpscaler
    from src.upscaling.files import preset_files

    bench.drop()
    count, height, width = (3, 16, 24) if bench.rehearse else (49, 480, 720)
    frames = np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)
    for preset in ("fast", "balanced", "quality"):
        try:
            preset_files(preset, 2)
        except MissingWeightsError as error:
            told[preset] = str(error)
            continue
        network = PresetUpscaler(preset, bench.device.type)
        size = Size(width=2 * width, height=2 * height)
        told[preset] = bench.seconds(
            lambda n=network, s=size: list(n.upscale(iter(frames), s)), 1 if bench.rehearse else 2
        )


def _enlarge(network: Any, frames: np.ndarray, size: Any) -> None:
    for _ in network.upscale(iter(frames), size):
        pass


def training(bench: Bench, told: Told) -> None:
    """Three steps of LoRA at rank 64: bf16 base, checkpointing,
    the v-objective on one random clip.
    """
    from peft import LoraConfig

    bench.build()
    transformer = bench.pipe.transformer
    bench.pipe.text_encoder = bench.pipe.vae = None
    rank = 4 if bench.rehearse else RANK
    transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    transformer.enable_gradient_checkpointing()
    trained = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    told["step"] = bench.seconds(lambda: _train_step(bench, transformer, optimizer), 3)
    told["trainable_share"] = round(
        sum(p.numel() for p in trained) / sum(p.numel() for p in transformer.parameters()), 5
    )


def _train_step(bench: Bench, transformer: Any, optimizer: torch.optim.Optimizer) -> None:
    config, size, spec = transformer.config, bench.spec.native, bench.spec
    frames = (bench.frames - 1) // 4 + 1
    make = {"device": bench.device, "dtype": bench.dtype}
    latents = torch.randn(1, frames, config.in_channels, size.height // 8, size.width // 8, **make)
    rotary = bench.pipe._prepare_rotary_positional_embeddings(
        size.height, size.width, frames, bench.device
    )
    text = torch.randn(1, spec.max_sequence_length, config.text_embed_dim, **make)
    timestep = torch.tensor([500], device=bench.device)
    made = transformer(latents, text, timestep, image_rotary_emb=rotary, return_dict=False)[0]
    F.mse_loss(made.float(), latents[:, :, : made.shape[2]].float()).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
