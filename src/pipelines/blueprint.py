"""Blueprints: the sizes of a small CogVideoX image-to-video pipeline, and how to write one as a folder.

`build` writes untrained, seeded weights in the very classes that the large models use, so that stock
`CogVideoXImageToVideoPipeline.from_pretrained(folder, use_safetensors=True)` loads the result. `NANO` is the
embedded model; `TINY` (in the form of the large models) and `TINY_NANO` (in that of the embedded one) run a 9-frame
clip in about a second and serve tests that need a pipeline but not its skill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import BadInputError

if TYPE_CHECKING:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5EncoderModel, T5Tokenizer

SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>")  # T5Tokenizer expects the unknown token at id 2
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()&/éèàçêôöüäßñ"


@dataclass(frozen=True)
class SchedulerBlueprint:
    """Every field of the DPM scheduler, written out: the class defaults differ from what CogVideoX uses."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    prediction_type: str = "v_prediction"
    timestep_spacing: str = "trailing"
    rescale_betas_zero_snr: bool = True
    snr_shift_scale: float = 1.0
    set_alpha_to_one: bool = True
    clip_sample: bool = False
    clip_sample_range: float = 1.0
    sample_max_value: float = 1.0
    steps_offset: int = 0


@dataclass(frozen=True)
class Blueprint:
    """The sizes of one pipeline. Sizes in pixels are native: what the model makes before any upscaling."""

    height: int
    width: int
    num_frames: int
    vocab_size: int
    text_length: int
    text_width: int
    text_heads: int
    text_feed_forward: int
    text_layers: int
    vae_channels: tuple[int, ...]
    latent_channels: int
    vae_layers: int
    vae_groups: int
    heads: int
    head_dim: int
    layers: int
    patch: int
    time_embed: int
    positions: bool = False
    """Whether tokens carry where they are beside the rotary positions, as in CogVideoX 1.0 image-to-video: a buffer."""
    patch_t: int | None = None
    """Latent frames a token holds, as in CogVideoX 1.5; None for the 1.0 form, one. Where a latent frame is a frame it
    divides 8, so that clips of all lengths are padded alike in front: by patch_t - 1."""
    temporal_ratio: int = 4
    """Frames a latent frame stands for: 4 as in the large models, or 1."""
    scaling_factor: float = 1.0
    scheduler: SchedulerBlueprint = field(default_factory=SchedulerBlueprint)

    def __post_init__(self) -> None:
        step = 2 ** (len(self.vae_channels) - 1) * self.patch
        if self.height % step or self.width % step:
            raise BadInputError(f"native size {self.width}x{self.height} must be a multiple of {step}")
        if self.num_frames % 8 != 1:
            raise BadInputError(f"num_frames is {self.num_frames}; it must be 8k+1, such as 49")
        if any(channels % self.vae_groups for channels in self.vae_channels):
            raise BadInputError(f"each of vae_channels {self.vae_channels} must divide by {self.vae_groups}")
        if self.head_dim % 16:
            raise BadInputError(f"head_dim is {self.head_dim}; rotary positions need a multiple of 16")
        if self.temporal_ratio not in (1, 4):
            raise BadInputError(f"temporal_ratio is {self.temporal_ratio}; it must be 1 or 4")

    @property
    def form(self) -> dict[str, dict[str, Any]]:
        """What the configuration files of its parts say of the sizes that decide the weights' shapes and meaning."""
        return {
            "transformer": {
                "num_layers": self.layers, "num_attention_heads": self.heads, "attention_head_dim": self.head_dim,
                "patch_size": self.patch, "patch_size_t": self.patch_t, "out_channels": self.latent_channels,
            },
            "vae": {
                "block_out_channels": list(self.vae_channels), "latent_channels": self.latent_channels,
                "temporal_compression_ratio": self.temporal_ratio,
            },
            "scheduler": {"prediction_type": self.scheduler.prediction_type},
        }  # fmt: skip

    @property
    def token_frames(self) -> int:
        """Token frames of the longest clip, those padded in front among them."""
        latent_frames = (self.num_frames - 1) // self.temporal_ratio + 1
        return -(-latent_frames // (self.patch_t or 1))

    @property
    def spatial_ratio(self) -> int:
        """Pixels a latent cell is wide and high."""
        return 2 ** (len(self.vae_channels) - 1)


TINY = Blueprint(
    height=48, width=64, num_frames=9,
    vocab_size=120, text_length=32, text_width=16, text_heads=2, text_feed_forward=32, text_layers=1,
    vae_channels=(8, 8, 8, 8), latent_channels=4, vae_layers=1, vae_groups=4,
    heads=2, head_dim=16, layers=2, patch=2, time_embed=16,
)  # fmt: skip

TINY_NANO = replace(
    TINY, vae_channels=(16, 16, 16), latent_channels=8, patch=2, patch_t=8, temporal_ratio=1,
    scheduler=SchedulerBlueprint(prediction_type="sample"),
)  # fmt: skip
"""TINY in the form of NANO."""

NANO = Blueprint(
    height=160, width=240, num_frames=49,
    vocab_size=1200, text_length=64, text_width=128, text_heads=4, text_feed_forward=384, text_layers=3,
    vae_channels=(16, 32, 64), latent_channels=16, vae_layers=1, vae_groups=4,
    heads=6, head_dim=48, layers=5, patch=2, time_embed=48, patch_t=8, temporal_ratio=1,
    scheduler=SchedulerBlueprint(prediction_type="sample"),
)  # fmt: skip
"""Codes of single frames, eight frames a token, clean latents predicted: docs/embedded-model.md says why."""


def train_tokenizer(corpus: Sequence[str], vocab_size: int, text_length: int) -> T5Tokenizer:
    """A Unigram tokenizer over `corpus`, as the T5 class of transformers."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), unk_token=SPECIAL_TOKENS[2],
        initial_alphabet=list(ALPHABET), show_progress=False,
    )  # fmt: skip
    learner.train_from_iterator(corpus, trainer)
    pieces = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"]]
    return T5Tokenizer(vocab=_with_alphabet(pieces), extra_ids=0, model_max_length=text_length)


def _with_alphabet(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Add letters the corpus never shows: a prompt may hold any word, and must not be all unknown."""
    known = {piece for piece, _ in pieces}
    lowest = min(score for _, score in pieces) - 1.0
    return pieces + [(letter, lowest) for letter in ALPHABET if letter not in known]


def text_encoder(blueprint: Blueprint, vocab_size: int) -> T5EncoderModel:
    """An untrained T5 encoder of the blueprint's sizes, for a vocabulary of `vocab_size` pieces."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=vocab_size, d_model=blueprint.text_width,
        d_kv=blueprint.text_width // blueprint.text_heads, d_ff=blueprint.text_feed_forward,
        num_layers=blueprint.text_layers, num_heads=blueprint.text_heads,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(config)


def autoencoder(blueprint: Blueprint) -> AutoencoderKLCogVideoX:
    """An untrained 3D VAE of the blueprint's sizes."""
    from diffusers import AutoencoderKLCogVideoX

    blocks = len(blueprint.vae_channels)
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * blocks,
        up_block_types=("CogVideoXUpBlock3D",) * blocks,
        block_out_channels=blueprint.vae_channels, latent_channels=blueprint.latent_channels,
        layers_per_block=blueprint.vae_layers, norm_num_groups=blueprint.vae_groups,
        sample_height=blueprint.height, sample_width=blueprint.width, scaling_factor=blueprint.scaling_factor,
        temporal_compression_ratio=blueprint.temporal_ratio,
    )  # fmt: skip


def transformer(blueprint: Blueprint) -> CogVideoXTransformer3DModel:
    """An untrained transformer; with rotary positions alone one checkpoint serves several lengths."""
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(
        num_attention_heads=blueprint.heads, attention_head_dim=blueprint.head_dim,
        in_channels=2 * blueprint.latent_channels, out_channels=blueprint.latent_channels,
        time_embed_dim=blueprint.time_embed, text_embed_dim=blueprint.text_width,
        num_layers=blueprint.layers, patch_size=blueprint.patch, patch_size_t=blueprint.patch_t,
        temporal_compression_ratio=blueprint.temporal_ratio,
        sample_width=blueprint.width // blueprint.spatial_ratio,
        sample_height=blueprint.height // blueprint.spatial_ratio,
        sample_frames=blueprint.num_frames, max_text_seq_length=blueprint.text_length,
        use_rotary_positional_embeddings=True, use_learned_positional_embeddings=blueprint.positions,
    )  # fmt: skip


def assemble(blueprint: Blueprint, corpus: Sequence[str], seed: int, tokenizer: T5Tokenizer | None = None) -> Any:
    """The whole pipeline in memory, untrained, its weights drawn from `seed`.

    tokenizer: used instead of one trained on `corpus`, which orders pieces of equal weight anew in each process.
    Returns a `diffusers.CogVideoXImageToVideoPipeline` in float32 on the CPU.
    """
    import dataclasses

    import torch
    from diffusers import CogVideoXDPMScheduler, CogVideoXImageToVideoPipeline

    tokenizer = tokenizer or train_tokenizer(corpus, blueprint.vocab_size, blueprint.text_length)
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


def build(blueprint: Blueprint, corpus: Sequence[str], folder: Path, seed: int) -> Path:
    """Write the untrained pipeline as a diffusers folder; the same seed writes the same weights.

    Args:
        corpus: sentences that the tokenizer learns its pieces from; at least one.
        folder: created where it does not exist.
    Returns `folder`.
    Raises BadInputError for an empty corpus.
    """
    if not any(sentence.strip() for sentence in corpus):
        raise BadInputError("the tokenizer's corpus is empty; give it at least one sentence")
    assemble(blueprint, corpus, seed).save_pretrained(folder, safe_serialization=True)
    return Path(folder)
