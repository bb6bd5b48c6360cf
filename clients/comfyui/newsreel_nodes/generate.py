"""A clip from a photograph."""

from typing import Any

import torch
from newsreel_client import Newsreel

from .pictures import as_png, read_clip
from .service import SERVICE, made

NUMBER = {"default": 0, "min": 0, "max": 1000, "tooltip": "0: the model's own."}
RIGHTS = (
    "Why a photograph whose rights forbid use by AI is used all the same; kept in the manifest."
)
LICENCE = "The limits of the model's licence are met; a refusal says what they are."


class NewsreelGenerate:
    """frames: IMAGE batch; fps; score: temporal, 0 to 1, -1 where none was taken; job: its id,
    which the other nodes take; file: where the MP4 lies.
    """

    CATEGORY = "Newsreel"
    FUNCTION = "generate"
    RETURN_TYPES = ("IMAGE", "FLOAT", "FLOAT", "STRING", "STRING")
    RETURN_NAMES = ("frames", "fps", "score", "job", "file")
    DESCRIPTION = "A photograph and a prompt become a clip on a Newsreel service."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        whole = 2**32 - 1
        return {
            "required": {
                "photograph": ("IMAGE",),
                "prompt": ("STRING", {"multiline": True, "default": ""}),
                "seed": ("INT", {"default": 0, "min": 0, "max": whole}),
            },
            "optional": SERVICE | {
                "model": ("STRING", {"default": "auto"}),
                "num_frames": ("INT", NUMBER),
                "num_inference_steps": ("INT", NUMBER),
                "upscale": ("STRING", {"default": "", "tooltip": "Such as 2x:fast."}),
                "rights_reason": ("STRING", {"default": "", "tooltip": RIGHTS}),
                "accept_licence": ("BOOLEAN", {"default": False, "tooltip": LICENCE}),
            },
        }  # fmt: skip

    def generate(
        self, photograph: torch.Tensor, prompt: str, seed: int, url: str = "", model: str = "auto",
        num_frames: int = 0, num_inference_steps: int = 0, upscale: str = "",
        rights_reason: str = "", accept_licence: bool = False,
    ) -> tuple[torch.Tensor, float, float, str, str]:  # fmt: skip
        told = {
            "model": model, "seed": seed, "num_frames": num_frames or None,
            "num_inference_steps": num_inference_steps or None, "upscale": upscale or None,
            "rights_reason": rights_reason or None, "accept_licence": accept_licence or None,
        }  # fmt: skip
        picture = as_png(photograph)

        def submit(newsreel: Newsreel) -> Any:
            return newsreel.submit(picture, prompt, **told)

        job, path = made(url, submit)
        frames, fps = read_clip(path)
        score = ((job.result or {}).get("report") or {}).get("score", -1.0)
        return frames, fps, float(score), job.id, str(path)
