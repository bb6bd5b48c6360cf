"""What a clip is called, and where it goes: checked before anything is computed."""

import os
from pathlib import Path

from src.artifacts.local import LocalStore
from src.core.durable import check_writable
from src.core.errors import BadInputError
from src.core.paths import (
    LONGEST,
    examples,
    home,
    is_folder,
    refused_by_windows,
    same_name,
    slug,
)
from src.core.request import Request
from src.engine.manifest import read_manifest

DRAFT = "-draft"
"""What the names of drafts end in that nobody named, so that the full clip has its usual name."""
LONGEST_NAME = LONGEST - 1  # the manifest's name is a byte longer than the clip's


def output_path(request: Request, prompt: str, seed: int) -> Path:
    """The final name: the one asked for, or `<slug of the prompt>-<seed>.mp4`,
    numbered when taken.

    Raises BadInputError for a name that no clip can have or that another file has, OutputError
    where nothing can be written.
    """
    store = LocalStore(home())
    _check_writable(home() / "photographs" / "photograph", "NEWSREEL_HOME")
    if request.output_path is None:
        name = f"{slug(prompt)}-{seed}{DRAFT if request.draft else ''}.mp4"
        final = store.reserve(examples() / name, replace=False)
    else:
        _check_name(request.output_path, request)
        final = store.reserve(request.output_path, replace=True)
    _check_writable(final)
    return final


def _check_name(path: Path, request: Request) -> None:
    if is_folder(path):
        raise BadInputError(f"--output-path {path} is a folder; give a file name that ends in .mp4")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise BadInputError(
            f"--output-path {path.name[:32]}...mp4 is too long; at most {LONGEST_NAME} bytes"
        )
    if os.name == "nt" and (reason := refused_by_windows(path)):
        raise BadInputError(f"--output-path: {reason}; choose another name")
    if path.suffix.lower() != ".mp4":
        raise BadInputError(f"--output-path {path} must be a name that ends in .mp4")
    if request.extend and same_name(path) == same_name(request.input_image):
        raise BadInputError(
            f"--output-path {path} is the clip that is gone on with, which stays; choose another"
        )
    if not request.overwrite:
        _keep_others(path)


def _keep_others(clip: Path) -> None:
    """Raise BadInputError where clip or manifest would replace a file that is none of ours."""
    manifest = clip.with_suffix(".json")
    if not any(os.path.lexists(path) for path in (clip, manifest)):
        return
    try:
        read_manifest(manifest)
    except BadInputError:
        which = manifest if os.path.lexists(manifest) else clip
        what, kind = (
            ("the clip's manifest", "manifest")
            if which == manifest
            else ("the clip", "clip of ours")
        )
        raise BadInputError(
            f"{what} would replace {which}, which is no {kind}; choose another --output-path, or "
            "give --overwrite"
        ) from None


def _check_writable(path: Path, setting: str = "--output-path") -> None:
    check_writable(path, f"choose another {setting}")
