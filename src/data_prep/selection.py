"""Which clips can be trained on, and the manifest's entries of those: one a caption."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.core.errors import NewsreelError
from src.core.progress import Listener, Progress
from src.data_prep.annotations import RawClip
from src.data_prep.files import write_picture
from src.datasets.clip_info import ClipInfo, ClipInfoCache, same_clip
from src.datasets.manifest import ManifestEntry
from src.media.clips import upright_frame
from src.media.reader import VideoReader
from src.recipes.lora.buckets import sample_seed


def sift(
    clips: Sequence[RawClip], min_seconds: float, listener: Listener
) -> tuple[list[RawClip], dict[str, str]]:
    """Clips that can be trained on, and of each other one why not: unreadable, too short, cut
    inside, duplicate.
    """
    memory, kept, left_out = ClipInfoCache(), [], {}
    seen: list[tuple[str, ClipInfo]] = []
    for number, clip in enumerate(clips, start=1):
        try:
            facts = None if clip.problem else memory.facts(clip.video)
            reason = clip.problem or objection(facts, seen, min_seconds)
        except (NewsreelError, OSError) as error:
            reason = str(error)
        if reason is None:
            kept.append(clip)
            seen.append((clip.name, facts))
        else:
            left_out[clip.name] = reason
        listener(Progress("look", number, len(clips)))
    memory.save()
    return kept, left_out


def objection(
    facts: ClipInfo, seen: Sequence[tuple[str, ClipInfo]], min_seconds: float
) -> str | None:
    """Why a clip cannot be taken, None where it can."""
    if facts.frames / facts.rate < min_seconds:
        return f"too short: {facts.frames / facts.rate:.1f} s of {min_seconds:g} s"
    if facts.cuts:
        return f"cuts to another shot at frame {facts.cuts[0]}"
    twin = next((name for name, other in seen if same_clip(facts, other)), None)
    return None if twin is None else f"duplicate of {twin}"


def build_entries(
    clips: Sequence[RawClip], output: Path, held_out_share: float, limit: int | None
) -> list[ManifestEntry]:
    """One entry a caption; all captions of a clip are on one side of the split. First frames are
    written beside the videos, as NAME.HASH.first.png: the hash is the clip's, so that another clip
    of the name has its own.
    """
    held_out = held_out_names([clip.name for clip in clips], held_out_share)
    entries: list[ManifestEntry] = []
    memory = ClipInfoCache()
    for clip in clips:
        if limit is not None and len(entries) >= limit:
            break
        entries += _entries(clip, output, "held_out" if clip.name in held_out else "train", memory)
    return _distinct(entries[:limit])


def _distinct(entries: list[ManifestEntry]) -> list[ManifestEntry]:
    """Ids that two entries share ("a-00" is a clip's name, and the first caption of "a") get a
    number.
    """
    taken: set[str] = set()
    for index, entry in enumerate(entries):
        names = (entry.id, *(f"{entry.id}-{number}" for number in range(2, len(entries) + 2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        entries[index] = entry.model_copy(update={"id": name})
    return entries


def first_frame_file(video: Path, sha256: str) -> Path:
    """Where a clip's first frame lies; names are cut to what file systems take."""
    stem = os.fsdecode(os.fsencode(video.stem)[:200])
    return video.with_name(f"{stem}.{sha256[:12]}.first.png")


def held_out_names(names: Sequence[str], share: float) -> set[str]:
    """The share of the clips whose names' hashes are lowest: the same clips whatever else is in the
    set.
    """
    ordered = sorted(names, key=lambda name: sample_seed("held out", name))
    return set(ordered[: round(share * len(names))])


def _entries(clip: RawClip, output: Path, split: str, memory: ClipInfoCache) -> list[ManifestEntry]:
    image = first_frame_file(clip.video, memory.sha256(clip.video))
    if not image.is_file():
        write_picture(image, first_frame(clip.video))
    start = output.parent.resolve()
    video, picture = (os.path.relpath(path.resolve(), start) for path in (clip.video, image))
    several = len(clip.captions) > 1
    return [
        ManifestEntry(
            id=f"{clip.name}-{number:02d}" if several else clip.name,
            video_path=video,
            image_path=picture,
            prompt=caption,
            source=clip.source,
            licence=clip.licence,
            rights=clip.rights,
            split=split,
        )
        for number, caption in enumerate(clip.captions)
    ]


def first_frame(video: Path) -> np.ndarray:
    """(H, W, 3) uint8, upright."""
    with VideoReader(video) as reader:
        return np.ascontiguousarray(upright_frame(next(iter(reader)).array, reader.info))
