"""Where a model's weights lie on this machine, and what to say when they do not.
Imports no torch.
"""

import hashlib
import json
import re
from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, MissingFileError, MissingWeightsError
from src.core.hash_cache import HashCache
from src.core.paths import REPOSITORY, home
from src.pipelines.classes import LIBRARIES
from src.pipelines.families import family_of, family_of_folder, parts_in
from src.pipelines.family import Family, Role, parts_of
from src.pipelines.snapshots import TOKENIZER_FILES, has_tokenizer, hurdles, missing, snapshots

SETTING = (bool, int, float, type(None))
"""What an index says of the pipeline itself, beside its parts."""
UNPINNED = "; no revision of it is pinned here: check both on its page before fetching"
DECIDING = (".safetensors", ".json", ".model", ".txt")
"""Ends of names of files that decide what a model computes; the last of a tokenizer's merges."""
WITHOUT = [None, None]
"""What an index says of a part that the folder is without."""


def locate(spec: ModelSpec) -> Path:
    """The folder that holds the model, checked to be whole and safetensors only.

    Raises MissingWeightsError with the command that fetches it and the bytes it takes.
    """
    folder = find_weights(spec)
    if folder is None:
        raise MissingWeightsError(how_to_fetch(spec))
    family = family_of(spec)
    check_libraries(folder, family)
    check_safetensors(folder, family)
    check_folder_whole(folder, family)
    return folder


def find_weights(spec: ModelSpec) -> Path | None:
    """The folder, or None when nothing is on this machine; never touches the network."""
    if spec.repository:
        folder = REPOSITORY / spec.repository
        return folder if (folder / "model_index.json").is_file() else None
    if spec.folder:
        return Path(spec.folder)
    return _find_snapshot(spec)


def _find_snapshot(spec: ModelSpec) -> Path | None:
    return next((snapshot.folder for snapshot in snapshots(spec) if snapshot.whole), None)


def how_to_fetch(spec: ModelSpec) -> str:
    """One sentence: the exact command, what it takes, and what of it is here already."""
    if spec.repository:
        return (
            f"{spec.id} is missing from {spec.repository}: restore it with git checkout -- "
            f"{spec.repository}"
        )
    pinned = f" --revision {spec.revision}" if spec.revision else ""
    command = f"hf download {{}}{pinned}"
    terms = f"; licence: {spec.licence}{'' if pinned else UNPINNED}{hurdles()}"
    begun = next((snapshot for snapshot in snapshots(spec) if snapshot.here), None)
    if begun is None:
        size = _size(spec)
        return (
            f"the weights of {spec.id} are not on this machine; fetch them ({size}) with: "
            f"{command.format(spec.hub)}{terms}"
        )
    return (
        f"{begun.here / 1e9:.1f} of {spec.download_bytes / 1e9:.1f} GB of {spec.id} are here; go "
        "on with: "
        f"{command.format(begun.name)}{terms}"
    )


def _size(spec: ModelSpec) -> str:
    """Of the download; of the weights where that is not known."""
    if spec.download_bytes:
        return f"{spec.download_bytes / 1e9:.1f} GB"
    counted = sum(spec.memory.weights.values())
    return f"about {counted / 1e9:.1f} GB of weights" if counted else "size not known"


def check_libraries(folder: Path, family: Family) -> None:
    """Raise unless every part is a class of diffusers or transformers: the index may name any
    installed module.
    """
    classes = {part.name: part.classes for part in family.parts} | dict(family.others)
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        libraries = {
            part: value[0]
            for part, value in index.items()
            if not part.startswith("_") and not isinstance(value, SETTING) and value != WITHOUT
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise BadInputError(
            f"{folder / 'model_index.json'} is no index of a diffusers folder: {error}"
        ) from None
    for part, library in libraries.items():
        if library not in LIBRARIES:
            raise BadInputError(
                f"{folder}: {part} comes from {library!r}, not diffusers; remote code is never run"
            )
        if part in classes and index[part][1:2] not in ([name] for name in classes[part]):
            known = " or ".join(classes[part])
            raise BadInputError(
                f"{folder}: {part} is a {index[part][1:2]}; a {family.title} folder has {known}"
            )


def check_safetensors(folder: Path, family: Family) -> None:
    """Raise unless every part has safetensors weights: pickled ones can run code when they are
    loaded.
    """
    for part in parts_in(family, folder):
        if not (folder / part.name).is_dir():
            raise MissingFileError(
                f"model folder {folder} has no {part.name}/; a {family.title} folder needs it"
            )
        _check_part(folder / part.name)
    for name in family.tokenizers:
        # transformers would make an empty tokenizer up, and the prompt would have no effect
        if not has_tokenizer(folder / name):
            raise MissingFileError(f"model folder {folder} has no {name}/ with {TOKENIZER_FILES}")


def _check_part(folder: Path) -> None:
    if list(folder.glob("*.safetensors")):
        return
    pickled = sorted(
        p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")
    )
    reason = f"only {pickled[0]}, which can run code when loaded" if pickled else "no weights"
    raise BadInputError(f"{folder} has {reason}; Newsreel loads safetensors only")


def check_folder_whole(folder: Path, family: Family) -> None:
    """Raise MissingFileError where a file that the folder's own indices name is missing or cut
    short.
    """
    lacking = list(missing(folder, family))
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise MissingFileError(
            f"model folder {folder} is not whole: {lacking[0]}{more}; fetch or copy it again"
        )


def weight_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that decides what the model computes (weights, configurations,
    tokenizers), by its path.

    A file of the hub's cache is a link to a blob that is named by its hash; others are read once
    and remembered by path, size and modification time.
    """
    memory = HashCache(home() / "cache" / "weight-hashes.json")
    files = sorted(p for p in folder.glob("*/*") if p.suffix in DECIDING)
    hashes = {file.relative_to(folder).as_posix(): memory.sha256(file) for file in files}
    memory.save()
    return hashes


def base_hash(folder: Path) -> str:
    """One SHA-256 for the weights of what denoises: what an adapter was trained on."""
    return role_hash(folder, "denoiser")


def role_hash(folder: Path, role: Role) -> str:
    """One SHA-256 for the weights of the parts of a role."""
    known = weight_hashes(folder)
    parts = "|".join(part.name for part in parts_of(family_of_folder(folder), role))
    hashes = [
        known[name] for name in sorted(known) if re.fullmatch(rf"({parts})/.+\.safetensors", name)
    ]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
