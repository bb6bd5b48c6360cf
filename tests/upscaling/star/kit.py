"""A STAR of every part with seeded weights: as published, but narrow,
in a folder as it is fetched.
"""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from src.core.paths import REPOSITORY
from src.upscaling.star.files import FORMAT, expected
from src.upscaling.star.spec import StarSpec

NARROW = StarSpec(dim=8, context=16, head=8, heads=2, groups=4)
RECORDED = StarSpec(dim=32, context=24, head=16, heads=4)
"""The widths at which numbers of the original were recorded."""
WIDE = 32
"""Channels of the VAE, whose norms have 32 groups whatever is asked."""


def seeded(shapes, seed: int) -> dict[str, torch.Tensor]:
    """Weights that do something everywhere, each of the seed and its name alone."""
    return {name: torch.from_numpy(_tensor(name, shape, seed)) for name, shape in shapes.items()}


def _tensor(name: str, shape, seed: int) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))
    drawn = random.standard_normal(tuple(shape), np.float32)
    if len(shape) > 1:
        return drawn * np.float32(np.prod(shape[1:]) ** -0.5)
    return (1 + 0.1 * drawn if name.endswith("weight") else 0.1 * drawn).astype(np.float32)


def narrow_star(folder: Path, heavy: bool = False) -> Path:
    """Every file of the spec, narrow."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(["light", "heavy"][: 1 + heavy], start=1):
        about = {"format": FORMAT, "spec": NARROW.model_dump_json()}
        save_file(
            seeded(expected(NARROW), seed), folder / f"{name}_deg.safetensors", metadata=about
        )
    narrow_vae(folder / "vae")
    narrow_text(folder / "text_encoder", folder / "tokenizer")
    ours = folder.parent / "upscaler"
    ours.mkdir(exist_ok=True)
    shutil.copy(REPOSITORY / "checkpoints" / "upscaler" / "balanced_2x.safetensors", ours)
    return folder


def narrow_vae(folder: Path) -> None:
    from diffusers import AutoencoderKLTemporalDecoder

    torch.manual_seed(3)
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(WIDE,) * 4, down_block_types=("DownEncoderBlock2D",) * 4
    )
    vae.save_pretrained(folder)


def narrow_text(folder: Path, tokenizer: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    letters = [chr(code) for code in range(33, 127)]
    words = [
        *letters,
        "ab",
        *(letter + "</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    tokenizer.mkdir(parents=True)
    (tokenizer / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\na b\n")
    torch.manual_seed(4)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=NARROW.context,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    CLIPTextModel(config).save_pretrained(folder)
