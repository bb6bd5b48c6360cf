"""Captions as their makers publish them: MSR-VTT, VATEX, or text files beside videos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


@dataclass(frozen=True)
class Clip:
    """One video with its captions and where it comes from."""

    name: str
    video: Path
    captions: tuple[str, ...]
    source: str
    licence: str
    rights: str


def read_source(kind: str, folder: Path, values: Mapping[str, Any]) -> list[Clip]:
    """The clips of a folder of this kind ("msr_vtt", "vatex", "videos"), in a fixed order.

    Raises MissingFileError or BadInputError naming what is missing.
    """
    if not Path(folder).is_dir():
        raise MissingFileError(f"there is no folder {folder}")
    return {"msr_vtt": _msr_vtt, "vatex": _vatex, "videos": _videos}[kind](Path(folder), values)


def _msr_vtt(folder: Path, _: Mapping[str, Any]) -> list[Clip]:
    """{"sentences": [{"video_id": "video0", "caption": "..."}]}, or a list of {"image_id": ..., "caption": ...}."""
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


def _vatex(folder: Path, _: Mapping[str, Any]) -> list[Clip]:
    """[{"videoID": "...", "enCap": ["...", ...]}]."""
    data = _json(folder, ("vatex*.json", "*.json"))
    try:
        captions = {str(item["videoID"]): [text.strip() for text in item["enCap"]] for item in data}
    except (TypeError, KeyError) as error:
        raise BadInputError(f"{folder}: the annotations are not VATEX's: {error!r}") from None
    rights = "captions CC BY 4.0; the clips belong to their YouTube uploaders"
    return _with_videos(folder, captions, "VATEX", "CC-BY-4.0 (captions)", rights)


def _videos(folder: Path, values: Mapping[str, Any]) -> list[Clip]:
    for key in ("source", "licence", "rights"):
        if not values.get(key):
            raise BadInputError(f"--videos needs --{key}: a manifest says of every clip where it comes from")
    clips = []
    for video in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        text = video.with_suffix(".txt")
        lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else [values.get("prompt") or ""]
        captions = tuple(line.strip() for line in lines if line.strip())
        if not captions:
            raise BadInputError(f"{video} has no caption: write {text.name} beside it, or give --prompt")
        name = video.relative_to(folder).with_suffix("").as_posix().replace("/", "-")
        clips.append(Clip(name, video, captions, values["source"], values["licence"], values["rights"]))
    if not clips:
        raise BadInputError(f"{folder} holds no video; these are read: {', '.join(sorted(SUFFIXES))}")
    return clips


def _json(folder: Path, patterns: tuple[str, ...]) -> Any:
    for pattern in patterns:
        for path in sorted((folder / "annotations").glob(pattern)) or sorted(folder.glob(pattern)):
            if path.name == "hashes.json":
                continue
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise BadInputError(f"{path} is not valid JSON: {error}") from None
    raise MissingFileError(f"{folder} holds no annotations; python -m src.data_prep.download_... fetches them")


def _with_videos(folder: Path, captions: Mapping[str, list[str]], source: str, licence: str, rights: str) -> list[Clip]:
    """Clips whose video is there; the annotations name thousands that a --limit left on the server."""
    videos = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES}
    clips = [
        Clip(name, videos[name], tuple(dict.fromkeys(texts)), source, licence, rights)
        for name, texts in captions.items() if name in videos
    ]  # fmt: skip
    if not clips:
        raise MissingFileError(f"{folder} holds none of the {len(captions)} videos that its annotations name")
    return clips
