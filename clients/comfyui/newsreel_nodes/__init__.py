"""The nodes, by the names under which workflows keep them."""

from typing import Any

from .generate import NewsreelGenerate
from .score import NewsreelScore
from .upscale import NewsreelUpscale

NODE_CLASS_MAPPINGS: dict[str, Any] = {
    "NewsreelGenerate": NewsreelGenerate,
    "NewsreelUpscale": NewsreelUpscale,
    "NewsreelScore": NewsreelScore,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "NewsreelGenerate": "Newsreel: clip from a photograph",
    "NewsreelUpscale": "Newsreel: enlarge a clip",
    "NewsreelScore": "Newsreel: temporal score",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
