"""`PROJECT_SUMMARY.json`: a snapshot of measured figures and of the artifacts they come from, with
a schema.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

import src
from src.core.config import Config
from src.core.durable import write_whole
from src.core.files import sha256_of
from src.core.paths import portable
from src.engine.manifest import versions
from src.engine.probe import probe


class Artifact(Config):
    """A file that figures rest on. path: relative to the repository, or its name alone."""

    name: str
    path: str
    sha256: str


class ProjectSummary(Config):
    """The snapshot. benchmarks: rows as the benchmark measured them. hardware:
    what measured them.
    """

    schema_version: int = 1
    created: str
    newsreel: str
    hardware: str
    versions: dict[str, str]
    benchmarks: list[dict[str, Any]] = Field(min_length=1)
    artifacts: list[Artifact]


def write_summary(
    path: Path, rows: list[dict[str, Any]], artifacts: dict[str, Path]
) -> ProjectSummary:
    """Write the snapshot whole; artifacts: files by name, which must exist."""
    summary = ProjectSummary(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        newsreel=src.__version__,
        hardware=probe().name,
        versions=versions(),
        benchmarks=rows,
        artifacts=[_artifact(name, file) for name, file in artifacts.items()],
    )
    write_whole(path, (json.dumps(summary.model_dump(mode="json"), indent=2) + "\n").encode())
    return summary


def _artifact(name: str, path: Path) -> Artifact:
    return Artifact(name=name, path=portable(path), sha256=sha256_of(path))


def summary_schema() -> dict[str, Any]:
    """JSON schema; published as `configs/schemas/project_summary.json`."""
    return ProjectSummary.model_json_schema()
