"""What the two clients make of their arguments, before a flow and while a file is saved."""

import os
from pathlib import Path
from typing import Any

import httpx

from newsreel_client.models import Job, Release

TIMEOUT_S = 60.0
SAVED = (200, 206)
"""Answers that bring the file, or the rest of it."""


def connection(url: str | None, key: str | None) -> dict[str, Any]:
    """Where the service is and who asks; without them NEWSREEL_URL and NEWSREEL_KEY say it."""
    key = key if key is not None else os.environ.get("NEWSREEL_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = url or os.environ.get("NEWSREEL_URL") or "http://localhost:8000"
    return {"base_url": url, "headers": headers, "timeout": TIMEOUT_S, "follow_redirects": True}


def as_bytes(photograph: Path | str | bytes) -> bytes:
    return photograph if isinstance(photograph, bytes) else Path(photograph).read_bytes()


def as_source(video: Path | str | bytes) -> Path | bytes:
    return Path(video) if isinstance(video, str) else video


def id_of(one: Job | Release | str) -> str:
    return one if isinstance(one, str) else one.id


def name_of(release: Release | str | None) -> str | None:
    return None if release is None else id_of(release)


def settings_of(scale: int, quality: str, others: dict[str, Any]) -> dict[str, Any]:
    return {"scale": scale, "quality": quality} | others


def range_headers(target: Path) -> dict[str, str]:
    """Headers that ask for what is missing."""
    size = target.stat().st_size if target.exists() else 0
    return {"Range": f"bytes={size}-"} if size else {}


def write_mode(answer: httpx.Response) -> str:
    """Append to what is there, or begin anew where the whole file comes."""
    return "ab" if answer.status_code == 206 else "wb"
