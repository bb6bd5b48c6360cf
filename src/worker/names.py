"""Names of a job's files. Each attempt has its own, so that a dead one's rest never meets a live
one's file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from src.artifacts.store import ArtifactStore
from src.core.addresses import PREVIEWS, clip_key, manifest_key, name_of
from src.core.paths import slug
from src.jobs.model import Job

ATTEMPT = re.compile(
    r"\.?(?P<slug>.*)-(?P<job>[0-9a-f]{21})-(?P<token>\d+)(\.\d+\.partial)?"
    r"\.(mp4|json|mkv)(\.[0-9a-f]+\.partial)?"
)
"""A clip or a manifest; ".NAME.PID.partial.mp4", ".NAME.mp4.TID.partial" and the upscaler's folder
".NAME.mp4.KEY.partial" are what is being written.
"""


def artifact_name(job: Job) -> str:
    """Such as "press-briefing-18bcfe...-1.mp4": words of the request, job and attempt."""
    words = str(
        job.request.get("prompt")
        or job.request.get("template")
        or job.request.get("name")
        or job.kind
    )
    return f"{slug(words, otherwise=job.kind)}-{job.id}-{job.token}.mp4"


def preview_key(job: Job) -> str:
    """The picture shown while the job runs."""
    return f"{PREVIEWS}{job.id}.jpg"


def picture_key(job: Job, what: str) -> str:
    """A small picture for pages, kept beside the preview. what: "photograph" or "poster" (of the
    attempt that was published).
    """
    name = f"{job.id}.{job.token}.poster.jpg" if what == "poster" else f"{job.id}.{what}.jpg"
    return f"{PREVIEWS}{name}"


def remove_pictures(files: ArtifactStore, job: Job) -> None:
    """Remove preview and small pictures of a job."""
    files.delete(*files.list(f"{PREVIEWS}{job.id}."))


def remove_attempt(files: ArtifactStore, clip: str) -> None:
    """Remove what one attempt wrote: clip, manifest, and partial files of both. clip: its key."""
    stem = str(PurePosixPath(clip).with_suffix(""))
    files.delete(clip, manifest_key(clip), *files.unfinished(f"{stem}."))


@dataclass(frozen=True)
class AttemptFile:
    """A file that an attempt wrote. artifact: name of the clip that it is, or belongs to. partial:
    still being written, or left so.
    """

    key: str
    job: str
    token: int
    artifact: str
    partial: bool


def is_attempt(key: str) -> bool:
    """Whether an attempt at a job wrote it, by its name."""
    return ATTEMPT.fullmatch(name_of(key)) is not None


def attempts_among(keys: Iterable[str], partial: bool = False) -> list[AttemptFile]:
    """Those of these files that attempts wrote. partial: all of them are, as in `AttemptFile`."""
    found = []
    for key in keys:
        name = name_of(key)
        if match := ATTEMPT.fullmatch(name):
            artifact = name.lstrip(".").split(".")[0] + ".mp4"
            found.append(AttemptFile(key, match["job"], int(match["token"]), artifact, partial))
    return found


def attempt_clip(job: Job) -> str:
    """The key of the clip that this attempt makes."""
    return clip_key(artifact_name(job))
