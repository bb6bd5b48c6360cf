"""Blueprints: the sizes of a small pipeline, of which `building.py` writes a diffusers folder. No
torch.

`NANO` is the embedded model; `TINY` (in the form of the large models) and `TINY_NANO` (in that of
the embedded one) run a 9-frame clip in about a second and serve tests that need a pipeline but not
its skill.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from src.core.errors import BadInputError


@dataclass(frozen=True)
class SchedulerBlueprint:
    """Every field of the DPM scheduler, written out: the class defaults differ from what CogVideoX
    uses.
    """

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
    """The sizes of one pipeline. Sizes in pixels are native: what the model makes before any
    upscaling.
    """

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
    """Whether tokens carry where they are beside the rotary positions, as in CogVideoX 1.0
    image-to-video: a buffer.
    """
    patch_t: int | None = None
    """Latent frames a token holds, as in CogVideoX 1.5; None for the 1.0 form, one. Where a latent
    frame is a frame it divides 8, so that clips of all lengths are padded alike in front: by
    patch_t - 1.
    """
    activation: str = "gelu-approximate"
    """Of the feed-forward parts: "geglu" multiplies what a token holds by what it knows of where to
    move it.
    """
    temporal_ratio: int = 4
    """Frames a latent frame stands for: 4 as in the large models, or 1."""
    scaling_factor: float = 1.0
    scheduler: SchedulerBlueprint = field(default_factory=SchedulerBlueprint)
    family: str = "cogvideox"

    def __post_init__(self) -> None:
        step = 2 ** (len(self.vae_channels) - 1) * self.patch
        if self.height % step or self.width % step:
            raise BadInputError(
                f"native size {self.width}x{self.height} must be a multiple of {step}"
            )
        if self.num_frames % 8 != 1:
            raise BadInputError(f"num_frames is {self.num_frames}; it must be 8k+1, such as 49")
        if any(channels % self.vae_groups for channels in self.vae_channels):
            raise BadInputError(
                f"each of vae_channels {self.vae_channels} must divide by {self.vae_groups}"
            )
        if self.head_dim % 16:
            raise BadInputError(
                f"head_dim is {self.head_dim}; rotary positions need a multiple of 16"
            )
        if self.temporal_ratio not in (1, 4):
            raise BadInputError(f"temporal_ratio is {self.temporal_ratio}; it must be 1 or 4")

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
    vocab_size=120, text_length=32, text_width=16, text_heads=2, text_feed_forward=32,
    text_layers=1, vae_channels=(4, 4, 4, 4), latent_channels=4, vae_layers=1, vae_groups=4,
    heads=2, head_dim=16, layers=2, patch=2, time_embed=16,
)  # fmt: skip

TINY_NANO = replace(
    TINY, vae_channels=(16, 16, 16), latent_channels=8, heads=4, patch=2, patch_t=4,
    activation="geglu", temporal_ratio=1,
    scheduler=SchedulerBlueprint(prediction_type="sample"),
)  # fmt: skip
"""TINY in the form of NANO."""

NANO = Blueprint(
    height=160, width=240, num_frames=49,
    vocab_size=1200, text_length=64, text_width=128, text_heads=4, text_feed_forward=384,
    text_layers=3, vae_channels=(16, 32, 64), latent_channels=16, vae_layers=1, vae_groups=4,
    heads=5, head_dim=64, layers=5, patch=2, time_embed=16, patch_t=4, temporal_ratio=1,
    activation="geglu",
    scheduler=SchedulerBlueprint(prediction_type="sample"),
)  # fmt: skip
"""Codes of single frames, four frames a token, clean latents predicted: docs/embedded-model.md
says why.
"""
