"""Whether a model folder is whole, and what of a download lies in the hub's cache. Imports no
torch.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.families import family_of, parts_in
from src.pipelines.family import Family

INDEX = ("model_index.json", "scheduler/scheduler_config.json")
TOKENIZERS = (("tokenizer.json",), ("spiece.model",), ("vocab.json", "merges.txt"))
"""Files that a tokenizer is read from, of which one set is enough."""
TOKENIZER_FILES = " or ".join(" and ".join(files) for files in TOKENIZERS)


@dataclass(frozen=True)
class Snapshot:
    """What the hub's cache has of a model under one of its names.

    folder: of the pinned revision, or of the newest as fetched. whole: all files are there. here:
    bytes, those of unfinished files too.
    """

    name: str
    folder: Path
    whole: bool
    here: int


def snapshots(spec: ModelSpec) -> list[Snapshot]:
    """The model in the hub's cache under its name and its former ones, whole ones first; nothing is
    fetched.
    """
    from huggingface_hub import constants

    found, family = [], family_of(spec)
    for name in (spec.hub, *spec.former):
        store = Path(constants.HF_HUB_CACHE) / f"models--{str(name).replace('/', '--')}"
        folder = store / "snapshots" / (spec.revision or _fetched_last(store))
        here = _blob_bytes(store)
        if folder.is_dir() or here:
            found.append(Snapshot(str(name), folder, _is_whole(folder, family), here))
    return sorted(found, key=lambda snapshot: (not snapshot.whole, -snapshot.here))


def _fetched_last(store: Path) -> str:
    """The commit that the hub's own name for the newest stood for when it was fetched."""
    try:
        return (store / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return "none"


def _is_whole(folder: Path, family: Family) -> bool:
    """Whether all of it is there; an index that cannot be read is a file that is not."""
    try:
        return folder.is_dir() and next(missing(folder, family), None) is None
    except BadInputError:
        return False


def _blob_bytes(store: Path) -> int:
    """Bytes of the store's files; unfinished ones end in .incomplete. What is gone meanwhile counts
    nothing.
    """
    total = 0
    for blob in (store / "blobs").glob("*"):
        try:
            total += blob.stat().st_size
        except OSError:
            continue
    return total


def missing(folder: Path, family: Family) -> Iterator[str]:
    """A sentence's end for each file that a whole folder has and this one lacks, or has in part."""
    if not (folder / INDEX[0]).is_file():
        yield f"{INDEX[0]} is missing"
        return
    parts = parts_in(family, folder)
    names = [*INDEX, *(f"{part.name}/config.json" for part in parts)]
    yield from (f"{name} is missing" for name in names if not (folder / name).is_file())
    for tokenizer in family.tokenizers:
        if not has_tokenizer(folder / tokenizer):
            yield f"{tokenizer}/ with {TOKENIZER_FILES} is missing"
    for part in parts:
        yield from _missing_weights(folder, part.name)


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's own files are there."""
    return any(all((folder / name).is_file() for name in files) for files in TOKENIZERS)


def _missing_weights(folder: Path, part: str) -> Iterator[str]:
    indices = sorted((folder / part).glob("*.safetensors.index.json"))
    named = [name for index in indices for name in _shards(index)]
    files = sorted(
        {folder / part / name for name in named} | set((folder / part).glob("*.safetensors"))
    )
    if not files:
        yield f"{part}/ has no safetensors weights"
    for file in files:
        yield from _incomplete(file, f"{part}/{file.name}")


def _shards(index: Path) -> list[str]:
    """The files that an index names. Raises BadInputError for one that is no index."""
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadInputError(
            f"{index} is no index of weight files: {error}; fetch it again"
        ) from None


def _incomplete(file: Path, name: str) -> Iterator[str]:
    """The header of a safetensors file says how long the file is."""
    if not file.is_file():
        yield f"{name} is missing"
        return
    wanted, size = expected_bytes(file), file.stat().st_size
    if wanted is None:
        yield f"{name} is not a safetensors file"
    elif size < wanted:
        yield f"{name} is cut short: {size / 1e9:.3g} of {wanted / 1e9:.3g} GB"


def expected_bytes(file: Path) -> int | None:
    """How long a safetensors file is by its header; None where it has none."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= 100_000_000:
                return None
            header: dict[str, Any] = json.loads(stream.read(length))
        ends = [
            tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"
        ]
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return 8 + length + max(ends, default=0)


def hurdles() -> str:
    """What would keep a download from working here, as the end of a sentence; "" for nothing."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    told = []
    if constants.HF_HUB_OFFLINE:
        told.append("HF_HUB_OFFLINE is set, unset it for that")
    if not os.access(there, os.W_OK):
        told.append(f"{there} cannot be written, set HF_HOME to a folder that can")
    return "".join(f"; {text}" for text in told)
