"""Writing down what a mark and a fingerprint are of: manifest, and the home's register."""

from pathlib import Path

from loguru import logger

from src.core.errors import OutputError
from src.core.plan import Plan
from src.core.register import Registered
from src.engine.enlarged_manifest import EnlargedManifest
from src.engine.filters import MARKED
from src.engine.finisher import SIGNED
from src.engine.manifest import Manifest
from src.upscaling.job import UpscaleJob
from src.verification.fingerprint import fingerprint_if_possible
from src.verification.register import remember


def fingerprint_for(plan: Plan | UpscaleJob, file: Path) -> str:
    """Of a clip that is marked or signed, as long as its packages are here; else ""."""
    if MARKED not in plan.filters and SIGNED not in plan.finishers:
        return ""
    return fingerprint_if_possible(file) or ""


def registered(manifest: Manifest | EnlargedManifest) -> Registered | None:
    """What the register says of a clip; None where it would say nothing."""
    mark = manifest.watermark
    if mark is None and not manifest.fingerprint:
        return None
    ids = {"mark": mark.id, "key": mark.key} if mark else {}
    clip = manifest.clip
    return Registered(clip.file, clip.sha256, fingerprint=manifest.fingerprint, **ids)


def write_down(manifest: Manifest | EnlargedManifest) -> dict[str, str]:
    """Append to the home's register; returns the entry, {} where there is none."""
    entry = registered(manifest)
    if entry is None:
        return {}
    try:
        remember(entry)
    except OutputError as error:
        logger.warning(f"the clip is published and its manifest tells of its mark, but {error}")
    return entry.told()
