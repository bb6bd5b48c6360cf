"""Names of a job's files. Each attempt has its own, so that a dead one's rest never meets a live one's file."""

import re
from collections.abc import Iterable, Iterator
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


def remove_attempt(path: Path) -> None:
    """Remove what one attempt wrote: clip, manifest, and partial files of both."""
    for file in (path, path.with_suffix(".json"), *path.parent.glob(f".{path.stem}.*")):
        file.unlink(missing_ok=True)


def attempts_in(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Files of attempts in a folder: path, job id, token."""
    for path in folder.iterdir() if folder.is_dir() else ():
        match = ATTEMPT.fullmatch(path.name)
        if match:
            yield path, match["job"], int(match["token"])


def sweep(folder: Path, published: dict[str, str], running: Iterable[tuple[str, int]]) -> list[Path]:
    """Remove files of attempts that neither run nor were published; returns them.

    published: artifact's name by job id. running: (job id, token) of leases that are held.
    """
    held = set(running)
    removed = []
    for path, job, token in list(attempts_in(folder)):
        final = path.name.lstrip(".").split(".")[0] + ".mp4" == published.get(job) and ".partial" not in path.name
        if not final and (job, token) not in held:
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
