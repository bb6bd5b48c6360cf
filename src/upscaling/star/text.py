"""What the network is told in words: OpenCLIP's ViT-H, its last layer but one, through
transformers.

What a text came to is kept in the home's cache: a later run needs no text encoder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.errors import BadInputError
from src.core.paths import home
from src.pipelines.reading import read_part
from src.pipelines.saving import load_tensors, write_tensors

TOKENS = 77
WANTED = (
    "cinematic, high contrast, fine detail, sharp focus, crisp texture of skin, cloth and foliage, "
    "natural colours, taken with a good camera, ultra high definition"
)
"""Said after what the video shows."""
UNWANTED = (
    "painting, drawing, cartoon, computer graphics, blur, noise, dirt, low quality, low "
    "resolution, "
    "compression artefacts, watermark, signature, deformed, oversmoothed"
)
"""What guidance leads away from."""


def prompt_text(prompt: str) -> str:
    """The text of a prompt; "" for none."""
    return ", ".join(filter(None, [prompt.strip(), WANTED]))


class TextEncoder:
    """Embeddings of texts. folder: holds `text_encoder/` and `tokenizer/`. version: of its weights;
    part of the cache's keys.
    """

    def __init__(self, folder: Path, version: str, device: torch.device) -> None:
        self.folder, self.version, self.device = folder, version, device

    def __call__(self, texts: list[str]) -> list[Tensor]:
        """(1, 77, C) float32 each, from the cache where they are there."""
        lacking = [text for text in texts if not self._file(text).is_file()]
        if lacking:
            for text, made in zip(lacking, self._made(lacking), strict=True):
                self._keep(text, made)
        return [self._read(text) for text in texts]

    def _file(self, text: str) -> Path:
        key = hashlib.sha256(f"{self.version}\n{text}".encode()).hexdigest()[:32]
        return home() / "cache" / "prompts" / f"{key}.safetensors"

    def _read(self, text: str) -> Tensor:
        return load_tensors(self._file(text))["embedding"].to(self.device)

    def _keep(self, text: str, made: Tensor) -> None:
        write_tensors({"embedding": made.contiguous()}, self._file(text), {}, "NEWSREEL_HOME")

    def _made(self, texts: list[str]) -> list[Tensor]:
        """By the encoder, which is dropped afterwards."""
        from transformers import CLIPTextModel

        tokenizer = self._tokenizer()
        model = read_part(CLIPTextModel, self.folder / "text_encoder", torch.float32)
        return [penultimate(model, token_numbers(tokenizer, text)) for text in texts]

    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        try:
            return CLIPTokenizer.from_pretrained(self.folder / "tokenizer", local_files_only=True)
        except Exception as error:  # the tokenizers' own library raises nothing narrower
            said = " ".join(str(error).split())[:200]
            raise BadInputError(f"{self.folder / 'tokenizer'} is no tokenizer: {said}") from None


def token_numbers(tokenizer: Any, text: str) -> Tensor:
    """(1, 77): cut off where longer, zeros after the end as OpenCLIP fills up, whatever the
    tokenizer's own filler is.
    """
    found = tokenizer(text, truncation=True, max_length=TOKENS).input_ids
    return torch.tensor([found + [0] * (TOKENS - len(found))])


@torch.no_grad()
def penultimate(model: Any, numbers: Tensor) -> Tensor:
    """(1, N, C): the last layer but one, then the final norm."""
    told = model(input_ids=numbers, output_hidden_states=True)
    return model.final_layer_norm(told.hidden_states[-2])
