"""Names of a job's files. Each attempt has its own, so that a dead one's rest never meets a live one's file."""

import re
from dataclasses import dataclass
from pathlib import Path

from src.jobs.model import Job

ATTEMPT = re.compile(
    r"\.?(?P<slug>.*)-(?P<job>[0-9a-f]{21})-(?P<token>\d+)(\.\d+\.partial)?\.(mp4|json|mkv)(\.\d+\.partial)?"
)
"""A clip or a manifest; ".NAME.PID.partial.mp4" and ".NAME.mp4.TID.partial" are what is being written."""


def artifact_name(job: Job) -> str:
    """Such as "press-briefing-18bcfe...-1.mp4": words of the request, job and attempt."""
    words = str(job.request.get("prompt") or job.request.get("template") or job.request.get("name") or job.kind)
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:48].rstrip("-") or job.kind
    return f"{slug}-{job.id}-{job.token}.mp4"


def preview_file(folder: Path, job: Job) -> Path:
    """The picture shown while the job runs, beside the folder of clips."""
    return folder.parent / "previews" / f"{job.id}.jpg"


def picture_file(folder: Path, job: Job, what: str) -> Path:
    """A small picture for pages, kept beside the preview. what: "photograph" or "poster" (of the
    attempt that was published).
    """
    name = f"{job.id}.{job.token}.poster.jpg" if what == "poster" else f"{job.id}.{what}.jpg"
    return folder.parent / "previews" / name


def remove_pictures(folder: Path, job: Job) -> None:
    """Remove preview and small pictures of a job."""
    for file in (folder.parent / "previews").glob(f"{job.id}.*"):
        file.unlink(missing_ok=True)


def remove_attempt(path: Path) -> None:
    """Remove what one attempt wrote: clip, manifest, and partial files of both."""
    for file in (path, path.with_suffix(".json"), *path.parent.glob(f".{path.stem}.*")):
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class AttemptFile:
    """A file that an attempt wrote. artifact: name of the clip that it is, or belongs to. partial:
    still being written, or left so.
    """

    path: Path
    job: str
    token: int
    artifact: str
    partial: bool


def attempts_in(folder: Path) -> list[AttemptFile]:
    """Files of attempts that are in a folder now."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := ATTEMPT.fullmatch(path.name):
            artifact = path.name.lstrip(".").split(".")[0] + ".mp4"
            found.append(AttemptFile(path, match["job"], int(match["token"]), artifact, ".partial" in path.name))
    return found
