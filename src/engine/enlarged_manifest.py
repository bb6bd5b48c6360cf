"""The manifest of a video that was enlarged, and where it lies."""

import json
from itertools import chain, count
from pathlib import Path
from typing import Any

from pydantic import Field

import src
from src.core.config import Config
from src.core.hardware import Hardware
from src.core.paths import LONGEST, shortened
from src.core.upscale_request import EnhanceSettings
from src.engine.manifest import SCHEMA_VERSION, Mark, PublishedClip, now, versions
from src.media.press_metadata import of_xmp
from src.trust.xmp import read_xmp
from src.upscaling.job import UpscaleJob
from src.upscaling.report import UpscaleReport

ENDING = ".json"


class EnlargedManifest(Config):
    """How a video was enlarged: what finishers are told, and the file beside the output.

    source: the name of the video. upscaler, preset, scale, weights: what enlarged it, and SHA-256
    of the files by name. builds: what computed each pass. refined: by what. enhance: what was asked
    of the picture. filters, finishers: by name. lost, damaged: what it lacks of the source.
    watermark, fingerprint, press: as of `Manifest`.
    """

    schema_version: int = SCHEMA_VERSION
    created: str
    newsreel: str
    source: str
    upscaler: str
    preset: str
    scale: int
    weights: dict[str, str]
    builds: tuple[str, ...] = ()
    refined: str = ""
    enhance: EnhanceSettings
    filters: tuple[str, ...]
    finishers: tuple[str, ...]
    clip: PublishedClip
    hardware: str
    versions: dict[str, str]
    lost: tuple[str, ...] = ()
    damaged: str | None = None
    watermark: Mark | None = None
    fingerprint: str = ""
    press: dict[str, str] = Field(default_factory=dict)


def of_enlarged(
    job: UpscaleJob,
    hardware: Hardware,
    clip: PublishedClip,
    report: UpscaleReport,
    watermark: Mark | None = None,
    fingerprint: str = "",
) -> EnlargedManifest:
    """The manifest of a job's output."""
    return EnlargedManifest(
        created=now(),
        newsreel=src.__version__,
        source=job.source.name,
        upscaler=job.choice.upscaler,
        preset=job.choice.preset,
        scale=job.choice.scale,
        weights=job.choice.hashes(),
        builds=report.builds,
        refined=report.refined,
        enhance=job.enhance,
        filters=job.filters,
        finishers=job.finishers,
        clip=clip,
        hardware=hardware.name,
        versions=versions(),
        press=of_xmp(read_xmp(job.source)).told,
        lost=tuple(report.lost),
        damaged=report.damaged,
        watermark=watermark,
        fingerprint=fingerprint,
    )


def place_beside(clip: Path) -> Path:
    """Where its manifest goes: `NAME.json`; where another file's manifest or somebody's own file
    has that name, `NAME.SUFFIX.json`, `NAME.SUFFIX.2.json` and so on.
    """
    names = chain((clip.stem, clip.name), (f"{clip.name}.{number}" for number in count(2)))
    longest = LONGEST - len(ENDING)
    paths = (clip.with_name(shortened(name, longest) + ENDING) for name in names)
    return next(path for path in paths if not path.exists() or _tells_of(path, clip))


def _tells_of(path: Path, clip: Path) -> bool:
    """Whether a file is the manifest of an enlarged video of this name."""
    try:
        said: Any = json.loads(path.read_text("utf-8"))
        return "upscaler" in said and said["clip"]["file"] == clip.name
    except (OSError, ValueError, KeyError, TypeError):
        return False
