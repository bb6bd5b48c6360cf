"""What configs/training/upscaler_default.yaml may say."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from src.core.config import Config
from src.core.request import Seed, Threads
from src.training.settings import LoopSettings, overlaid

Range = tuple[float, float]
Preset = Literal["fast", "balanced", "quality", "nano"]


class Degradation(Config):
    """How a low-resolution clip is worse than the high-resolution one shrunk. Ranges are drawn from
    evenly.

    share: of the clips that are degraded at all; the others are only shrunk, bicubically.
    blur: deviation in pixels of the source. noise: deviation in grey levels. jpeg: quality. h264:
    CRF.
    jpeg_share, h264_share: of the degraded clips that are coded so. kernels: ways to shrink, drawn
    evenly. vae: a pipeline's folder, from the repository's on; its VAE encodes and decodes every
    clip in the end, as it decodes those that the pipeline makes.
    """

    share: float = Field(0.3, ge=0, le=1)
    blur: Range = (0.0, 0.8)
    noise: Range = (0.0, 12.0)
    jpeg: Range = (35.0, 95.0)
    h264: Range = (20.0, 35.0)
    jpeg_share: float = Field(0.5, ge=0, le=1)
    h264_share: float = Field(0.1, ge=0, le=1)
    kernels: tuple[Literal["bicubic", "area", "lanczos", "bilinear"], ...] = (
        "bicubic",
        "area",
        "lanczos",
    )
    vae: Path | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Degradation":
        for name in ("blur", "noise", "jpeg", "h264"):
            low, high = getattr(self, name)
            if low > high or low < 0:
                raise ValueError(f"{name} must be [from, to] with 0 <= from <= to")
        if not self.kernels:
            raise ValueError("kernels must name at least one way to shrink")
        return self


class Data(Config):
    """Where clips come from, and how they are cut.

    scenes, videos, images: weights of the three sources; a weight above 0 needs `video_files` or
    `image_folders`. photographs: share of scenes that are painted with public-domain photographs
    instead of dead leaves.
    crop: side of a low-resolution crop, pixels. frames: of a clip. batch: clips a step. workers: of
    the DataLoader; 0 loads in the loop's own thread. canvases: kept in memory; reuse: clips to each
    new one.
    """

    scenes: float = Field(1.0, ge=0)
    videos: float = Field(0.0, ge=0)
    images: float = Field(0.0, ge=0)
    video_files: tuple[Path, ...] = ()
    image_folders: tuple[Path, ...] = ()
    photographs: float = Field(0.5, ge=0, le=1)
    crop: int = Field(48, ge=16)
    frames: int = Field(3, ge=1)
    batch: int = Field(8, ge=1)
    workers: int = Field(0, ge=0)
    canvases: int = Field(120, ge=1)
    reuse: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _sources(self) -> "Data":
        if self.scenes + self.videos + self.images <= 0:
            raise ValueError("one of scenes, videos and images must have a weight above 0")
        if self.videos and not self.video_files:
            raise ValueError("videos has a weight, so video_files must name at least one file")
        if self.images and not self.image_folders:
            raise ValueError("images has a weight, so image_folders must name at least one folder")
        return self


class Losses(Config):
    """Weights of the terms; 0 leaves one out.

    pixel: "charbonnier" or "l1", weight 1. difference: of frame-to-frame differences. warped: of
    the change along the flow. perceptual: VGG16 features, semantic: CLIP embeddings; both need
    their weights at the path given, and are off, with a sentence in the log, where it is not there.
    """

    pixel: Literal["charbonnier", "l1"] = "charbonnier"
    difference: float = Field(0.1, ge=0)
    warped: float = Field(0.0, ge=0)
    perceptual: float = Field(0.0, ge=0)
    semantic: float = Field(0.0, ge=0)
    vgg16: Path | None = None
    clip: Path | None = None


class UpscalerSettings(Config):
    """The recipe `upscaler`: which network, on what, for how long.

    presets: what differs for one preset, by its name.
    """

    preset: Preset = "fast"
    scale: Literal[2, 4] = 2
    seed: Seed = 31
    threads: Threads | None = Field(
        default=None, description="CPU threads; None leaves it to torch"
    )
    data: Data = Data()
    degradation: Degradation = Degradation()
    losses: Losses = Losses()
    schedule: LoopSettings = LoopSettings(steps=6000)
    presets: dict[Preset, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sections_name_no_preset(self) -> "UpscalerSettings":
        if any({"preset", "presets"} & set(section) for section in self.presets.values()):
            raise ValueError("a section of presets is of one preset; it cannot name others")
        return self


def of_preset(values: dict[str, Any], preset: str) -> dict[str, Any]:
    """A file's values with its section of a preset over them, and no sections."""
    general = {key: value for key, value in values.items() if key != "presets"}
    return overlaid(general, values.get("presets", {}).get(preset, {}))
