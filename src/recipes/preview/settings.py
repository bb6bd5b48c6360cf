"""What configs/training/preview.yaml may say."""

from pydantic import Field

from src.core.config import Config
from src.core.request import Seed, Threads
from src.training.settings import LoopSettings


class PreviewSettings(Config):
    """The recipe `preview`: how large the decoder is, and what it learns from.

    width, blocks: of the network. fit_clips: scenes that its linear part is fitted to. clips: a
    step. crop: side of a crop, in latent cells. latent_frames: of a clip, where a latent frame
    stands for several; else one. noise: the most on the latents, in their deviations. edges: the
    weight of the L1 of differences in space, and in time. photographs: share of scenes that are
    painted with photographs instead of dead leaves. canvases: kept in memory; reuse: clips to each
    new one.
    """

    seed: Seed = 41
    width: int = Field(32, ge=8)
    blocks: int = Field(3, ge=1)
    fit_clips: int = Field(48, ge=2)
    clips: int = Field(8, ge=1)
    crop: int = Field(24, ge=4)
    latent_frames: int = Field(5, ge=2)
    noise: float = Field(0.1, ge=0)
    edges: float = Field(1.0, ge=0)
    photographs: float = Field(0.5, ge=0, le=1)
    canvases: int = Field(60, ge=1)
    reuse: int = Field(4, ge=1)
    threads: Threads | None = Field(
        default=None, description="CPU threads; None leaves it to torch"
    )
    schedule: LoopSettings = LoopSettings(steps=2400)
