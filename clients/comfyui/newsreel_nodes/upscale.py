"""A clip, enlarged."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from newsreel_client import Newsreel

from .pictures import read_clip, write_clip
from .service import SERVICE, made


class NewsreelUpscale:
    """Frames of any origin, enlarged by the service: frames, fps, job and file as of the first
    node.
    """

    CATEGORY = "Newsreel"
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE", "FLOAT", "STRING", "STRING")
    RETURN_NAMES = ("frames", "fps", "job", "file")
    DESCRIPTION = "Enlarges frames two, four or eight times on a Newsreel service."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        quality = {"default": "fast", "tooltip": "fast, balanced, quality, or ID/PRESET."}
        return {
            "required": {
                "frames": ("IMAGE",),
                "fps": ("FLOAT", {"default": 8.0, "min": 1.0, "max": 120.0}),
                "scale": ([2, 4, 8],),
                "quality": ("STRING", quality),
            },
            "optional": SERVICE,
        }

    def upscale(
        self, frames: torch.Tensor, fps: float, scale: int, quality: str, url: str = ""
    ) -> tuple[torch.Tensor, float, str, str]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "frames.mp4"
            write_clip(frames, fps, source)

            def submit(newsreel: Newsreel) -> Any:
                return newsreel.upscale(source, scale=scale, quality=quality)

            job, path = made(url, submit)
        larger, rate = read_clip(path)
        return larger, rate, job.id, str(path)
