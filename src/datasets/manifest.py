"""The training manifest: a JSON list of clips with their captions, sources and rights."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from src.core.config import Config, validate
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import absent, is_file
from src.core.text import decode_text, parse_json

Split = Literal["train", "held_out"]


class ManifestEntry(Config):
    """One caption of one clip.

    id: unique. video_path, image_path: absolute, or from the manifest's folder; image_path is the
    first frame, and where it is empty the video's own is taken. source, licence, rights: where the
    clip comes from, under which licence, and who may use it for what. split: "held_out" entries are
    measured on and never trained on. differs_from: ids of entries whose clips look like this one's
    and are others, as somebody who looked at them says.
    """

    id: str
    video_path: str
    image_path: str = ""
    prompt: str
    source: str
    licence: str
    rights: str
    split: Split = "train"
    differs_from: tuple[str, ...] = ()

    @field_validator("id", "video_path", "prompt")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


@dataclass(frozen=True)
class Dataset:
    """A manifest that was read. folder: where its relative paths start. sha256: of the file."""

    path: Path
    entries: tuple[ManifestEntry, ...]
    sha256: str

    def video(self, entry: ManifestEntry) -> Path:
        """Where the entry's video lies."""
        return self.path.parent / entry.video_path

    def image(self, entry: ManifestEntry) -> Path | None:
        """Where the entry's first frame lies; None where the video's own is to be taken."""
        return self.path.parent / entry.image_path if entry.image_path else None

    def split(self, name: Split) -> tuple[ManifestEntry, ...]:
        """The entries of one split, in the file's order."""
        return tuple(entry for entry in self.entries if entry.split == name)

    def rights(self) -> str:
        """One line for an adapter's header: how many clips under which licence,
        from which source.
        """
        counts = Counter(
            (entry.licence, entry.source, entry.rights) for entry in self.split("train")
        )
        return "; ".join(
            f"{count} x {licence} ({source}): {rights}"
            for (licence, source, rights), count in counts.most_common()
        )


def read_dataset(path: Path) -> Dataset:
    """Read and check a manifest. Raises MissingFileError or BadInputError naming entry and key."""
    path = Path(path)
    if not is_file(path):
        raise MissingFileError(
            f"the metadata {path} {absent(path)}; make lora-demo or src.data_prep writes one"
        )
    data = path.read_bytes()
    entries = tuple(_entry(item, number, path) for number, item in enumerate(_list(data, path)))
    _check_unique(entries, path)
    if not any(entry.split == "train" for entry in entries):
        raise BadInputError(
            f"{path} holds no clip to train on; it needs at least one entry of the split 'train'"
        )
    return Dataset(path, entries, hashlib.sha256(data).hexdigest())


def write_dataset(path: Path, entries: list[ManifestEntry]) -> None:
    """Write a manifest whole, one entry a line. Raises OutputError."""
    from src.core.durable import write_whole

    lines = [json.dumps(entry.model_dump(mode="json"), ensure_ascii=False) for entry in entries]
    write_whole(Path(path), ("[\n" + ",\n".join(lines) + "\n]\n").encode())


def _list(data: bytes, path: Path) -> list[Any]:
    items = parse_json(decode_text(data, str(path)), str(path))
    if not isinstance(items, list):
        raise BadInputError(f"{path} must hold a JSON list of clips, not a {type(items).__name__}")
    if not items:
        raise BadInputError(f"{path} is an empty list; it needs at least one clip")
    return items


def _entry(item: Any, number: int, path: Path) -> ManifestEntry:
    if not isinstance(item, dict):
        raise BadInputError(
            f"{path}: entry {number} must be an object, not a {type(item).__name__}"
        )
    return validate(item, ManifestEntry, f"{path}: entry {number}")


def _check_unique(entries: tuple[ManifestEntry, ...], path: Path) -> None:
    counts = Counter(entry.id for entry in entries)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise BadInputError(
            f"{path}: id {repeated[0]!r} is there {counts[repeated[0]]} times; each must be unique"
        )
