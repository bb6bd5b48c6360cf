"""Latents and text embeddings on disk, addressed by all they depend on: computed once, whatever the
file is called.

A clip's address is SHA-256 over the hashes of its video and first frame, how it was decoded, the
hash of the VAE's files and the version of this code; a caption's over the text and the hashes of
tokenizer and text encoder. So neither two files of one name nor another VAE can meet in one entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from src.core.errors import OutputError
from src.core.paths import home
from src.media.clips import Sampling
from src.pipelines.family import Family, parts_of
from src.pipelines.saving import load_tensors, write_tensors

VERSION = 3
"""To be raised where the same inputs would be encoded to other values."""


def address(kind: str, **parts: object) -> str:
    """SHA-256 over the canonical JSON of what an entry depends on."""
    text = json.dumps(
        {"kind": kind, "version": VERSION} | parts, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Encoders:
    """Which encoders' results these are. vae, text: hashes of their files. dtype: they run in."""

    vae: str
    text: str
    dtype: str
    text_length: int

    def clip_address(self, video: str, image: str, sampling: Sampling, noises: int) -> str:
        """video, image: SHA-256 of the files; image is "" where the video's own first frame is
        taken.
        """
        return address(
            "clip",
            vae=self.vae,
            dtype=self.dtype,
            video=video,
            image=image,
            noises=noises,
            **asdict(sampling),
        )

    def text_address(self, prompt: str) -> str:
        return address(
            "text", text=self.text, dtype=self.dtype, length=self.text_length, prompt=prompt
        )


def encoders_of(family: Family, hashes: dict[str, str], dtype: str, text_length: int) -> Encoders:
    """From the hashes of a model folder's files (src.pipelines.locate.weight_hashes)."""
    vae = _files(hashes, [part.name for part in parts_of(family, "vae")])
    text = _files(hashes, [*(part.name for part in parts_of(family, "text")), *family.tokenizers])
    return Encoders(address("vae", files=vae), address("t5", files=text), dtype, text_length)


def _files(hashes: dict[str, str], folders: Sequence[str]) -> dict[str, str]:
    """The hashes of files in these folders."""
    return {name: value for name, value in hashes.items() if name.split("/")[0] in folders}


class EncodingCache:
    """Entries `cache/encodings/ab/abcd....safetensors`; an entry is whole or not there."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or home() / "cache" / "encodings"

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def has(self, key: str) -> bool:
        return self.path(key).is_file()

    def read(self, key: str) -> dict[str, Tensor]:
        """The entry's tensors. Raises OutputError where the file is damaged, with what helps."""
        try:
            return load_tensors(self.path(key))
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"cache entry {self.path(key)} does not read ({error}); delete it and retry"
            ) from None

    def write(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Raises OutputError where the disk is full or the folder is not writable."""
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_tensors(held, self.path(key), {}, "NEWSREEL_HOME")
