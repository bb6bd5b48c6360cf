"""Captions as their makers publish them: MSR-VTT, VATEX, or text files beside videos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from src.core.errors import BadInputError, MissingFileError
from src.core.text import guess, read_json
from src.media.folder import why_no_video

BESIDE = {
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".srt",
    ".vtt",
    ".md",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".yaml",
    ".npz",
}
"""What lies beside clips and is none: not worth opening."""


@dataclass(frozen=True)
class RawClip:
    """One video with its captions and where it comes from. problem: why it cannot be taken, None
    where it can.
    """

    name: str
    video: Path
    captions: tuple[str, ...]
    source: str
    licence: str
    rights: str
    problem: str | None = None


def read_source(kind: str, folder: Path, values: Mapping[str, Any]) -> list[RawClip]:
    """The clips of a folder of this kind ("msr_vtt", "vatex", "videos"), in a fixed order.

    Raises MissingFileError or BadInputError naming what is missing.
    """
    if not Path(folder).is_dir():
        raise MissingFileError(f"there is no folder {folder}")
    return {"msr_vtt": _msr_vtt, "vatex": _vatex, "videos": _videos}[kind](Path(folder), values)


def _msr_vtt(folder: Path, _: Mapping[str, Any]) -> list[RawClip]:
    """{"sentences": [{"video_id": "video0", "caption": "..."}]}, or a list of {"image_id": ...,
    "caption": ...}.
    """
    data = _json(folder, ("MSR_VTT.json", "*videodatainfo*.json", "*.json"))
    sentences = data.get("sentences") or data.get("annotations") if isinstance(data, dict) else data
    captions: dict[str, list[str]] = {}
    try:
        for sentence in sentences:
            name = str(sentence.get("video_id") or sentence["image_id"])
            captions.setdefault(name, []).append(sentence["caption"].strip())
    except (TypeError, KeyError, AttributeError) as error:
        raise BadInputError(f"{folder}: the annotations are not MSR-VTT's: {error!r}") from None
    rights = "research use; the clips belong to their YouTube uploaders"
    return _with_videos(folder, captions, "MSR-VTT", "see the publisher's terms", rights)


def _vatex(folder: Path, _: Mapping[str, Any]) -> list[RawClip]:
    """[{"videoID": "...", "enCap": ["...", ...]}]."""
    data = _json(folder, ("vatex*.json", "*.json"))
    try:
        captions = {str(item["videoID"]): [text.strip() for text in item["enCap"]] for item in data}
    except (TypeError, KeyError) as error:
        raise BadInputError(f"{folder}: the annotations are not VATEX's: {error!r}") from None
    rights = "captions CC BY 4.0; the clips belong to their YouTube uploaders"
    return _with_videos(folder, captions, "VATEX", "CC-BY-4.0 (captions)", rights)


def _videos(folder: Path, values: Mapping[str, Any]) -> list[RawClip]:
    for key in ("source", "licence", "rights"):
        if not values.get(key):
            raise BadInputError(
                f"--videos needs --{key}: a manifest says of every clip where it comes from"
            )
    clips = []
    for name, video in _named(folder, _found(folder)):
        try:
            captions, problem = _captions(video, values.get("prompt")), None
        except BadInputError as error:
            captions, problem = (), str(error)
        clips.append(
            RawClip(
                name,
                video,
                captions,
                values["source"],
                values["licence"],
                values["rights"],
                problem,
            )
        )
    if not clips:
        raise BadInputError(f"{folder} holds no video that can be read")
    return clips


def _found(folder: Path) -> list[Path]:
    """The videos of a folder in order; what other systems put beside them (._NAME, __MACOSX) is
    none.
    """
    inside = ((path, path.relative_to(folder).parts) for path in sorted(folder.rglob("*")))
    return [path for path, parts in inside if path.suffix.lower() not in BESIDE and path.is_file()
            and not any(part.startswith(".") or part == "__MACOSX" for part in parts)
            and why_no_video(path) is None]  # fmt: skip


def _named(folder: Path, videos: list[Path]) -> list[tuple[str, Path]]:
    """Each video with a name of its own: folders joined by "-", and a hash of the path where that
    is not enough.
    """
    paths = [video.relative_to(folder) for video in videos]
    names = [path.with_suffix("").as_posix().replace("/", "-") for path in paths]
    keys = [
        hashlib.sha256(path.as_posix().encode(errors="surrogateescape")).hexdigest()[:8]
        for path in paths
    ]
    return [(name if names.count(name) == 1 else f"{name}-{key}", video)
            for name, key, video in zip(names, keys, videos, strict=True)]  # fmt: skip


def _captions(video: Path, prompt: str | None) -> tuple[str, ...]:
    """One a line of NAME.txt, else the prompt. Raises BadInputError where there is none that can be
    read.
    """
    file = video.with_suffix(".txt")
    text = prompt or ""
    if file.is_file():
        try:
            text, guessed = guess(file.read_bytes(), str(file))
        except OSError as error:
            raise BadInputError(f"{file} cannot be read: {error.strerror}") from None
        if guessed:
            logger.warning("{} is no UTF-8; read as {}: {!r}", file, guessed, text[:60])
    captions = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not captions:
        raise BadInputError(
            f"{video} has no caption: write {file.name} beside it, or give --prompt"
        )
    return captions


def _json(folder: Path, patterns: tuple[str, ...]) -> Any:
    for pattern in patterns:
        for path in sorted((folder / "annotations").glob(pattern)) or sorted(folder.glob(pattern)):
            if path.name == "hashes.json" or path.name.startswith("."):
                continue
            return read_json(path)
    raise MissingFileError(
        f"{folder} holds no annotations; python -m src.data_prep.download_... fetches them"
    )


def _with_videos(
    folder: Path, captions: Mapping[str, list[str]], source: str, licence: str, rights: str
) -> list[RawClip]:
    """Clips whose video is there; the annotations name thousands that a --limit left on
    the server.
    """
    videos: dict[str, list[tuple[str, Path]]] = {}
    for name, path in _named(folder, _found(folder)):
        videos.setdefault(path.stem, []).append((name, path))
    clips = [
        RawClip(stem if len(videos[stem]) == 1 else name, path,
                tuple(dict.fromkeys(filter(None, texts))), source, licence, rights,
                None if any(texts) else f"{path} has no caption")
        for stem, texts in captions.items() for name, path in videos.get(stem, ())
    ]  # fmt: skip
    if not clips:
        raise MissingFileError(
            f"{folder} holds none of the {len(captions)} videos that its annotations name"
        )
    return clips
