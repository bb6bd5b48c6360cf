"""Batch files: a JSON list of jobs in the shared vocabulary,
validated whole before anything runs.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from src.core.config import Config
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import absent, is_file
from src.core.request import Request
from src.core.text import read_json

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SCHEMA = "configs/schemas/batch_jobs.json"


class BatchJob(Config):
    """One job: an id, unique in its file, which names the clip; and a request."""

    id: str
    request: Request


class BatchFile(Config):
    """The file as written. defaults: fields for every job. jobs: an `id` and fields of the
    vocabulary each.
    """

    defaults: dict[str, Any] = Field(default_factory=dict)
    jobs: list[dict[str, Any]]


def read_batch(path: Path, overrides: dict[str, Any]) -> list[BatchJob]:
    """Read and validate every job. overrides: fields from the command line, which win over the
    file's.

    Raises MissingFileError, or BadInputError that lists every wrong field with its job.
    """
    file = _parse(path)
    errors: list[str] = []
    jobs = [
        _job(
            index,
            fields,
            lambda own: _anchored(file.defaults | own | overrides, path.parent),
            errors,
        )
        for index, fields in enumerate(file.jobs)
    ]
    errors += _repeated([job.id for job in jobs if job])
    if errors:
        raise BadInputError(
            f"{path}: {len(errors)} error(s), nothing was run\n  " + "\n  ".join(errors)
        )
    return [job for job in jobs if job]


def _parse(path: Path) -> BatchFile:
    if not is_file(path):
        raise MissingFileError(f"jobs file {path} {absent(path)}")
    try:
        data = read_json(path)
        if not isinstance(data, list | dict):
            raise BadInputError(f"{path} must hold a list of jobs; {SCHEMA} says how")
        file = BatchFile.model_validate({"jobs": data} if isinstance(data, list) else data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInputError(f"{path}: {place}: {first['msg']}; {SCHEMA} says how") from None
    if not file.jobs:
        raise BadInputError(f"{path} has no jobs")
    return file


def _job(
    index: int,
    fields: dict[str, Any],
    complete: Callable[[dict[str, Any]], dict[str, Any]],
    errors: list[str],
) -> BatchJob | None:
    """One job, or None with its errors appended. complete: adds defaults and overrides to the job's
    own fields.
    """
    name = fields.get("id", f"job-{index + 1:03}")
    if not isinstance(name, str) or not ID.fullmatch(name):
        errors.append(
            f"job {index + 1}: id: must be letters, digits, '.', '_' or '-', got {name!r}"
        )
        return None
    own = {key: value for key, value in fields.items() if key != "id"}
    try:
        request = Request.model_validate({"seed": seed_of(name)} | complete(own))
    except ValidationError as error:
        for item in error.errors():
            field = ".".join(map(str, item["loc"])) or "job"
            known = (
                f"; known: {', '.join(sorted(Request.model_fields))}"
                if item["type"] == "extra_forbidden"
                else ""
            )
            errors.append(f"{name}: {field}: {item['msg']}{known}")
        return None
    return BatchJob(id=name, request=request)


def _anchored(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A relative photograph is looked for from here first, then beside the jobs file."""
    image = fields.get("input_image")
    if isinstance(image, str) and not is_file(Path(image)) and is_file(folder / image):
        return fields | {"input_image": folder / image}
    return fields


def seed_of(name: str) -> int:
    """The seed of a job that gives none: drawn from its id,
    so that a resumed batch plans the same.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def _repeated(ids: list[str]) -> list[str]:
    return [
        f"{name}: id: used by {ids.count(name)} jobs"
        for name in sorted(set(ids))
        if ids.count(name) > 1
    ]


def batch_schema() -> dict[str, Any]:
    """JSON schema of a batch file; published as `configs/schemas/batch_jobs.json`."""
    request = Request.model_json_schema()
    definitions = request.pop("$defs", {})
    fields = request["properties"]
    job = {
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": f"^{ID.pattern}$"}} | fields,
        "additionalProperties": False,
    }
    defaults = {"type": "object", "properties": fields, "additionalProperties": False}
    jobs = {"type": "array", "minItems": 1, "items": job}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Newsreel batch file",
        "oneOf": [
            {"type": "object", "properties": {"defaults": defaults, "jobs": jobs},
             "required": ["jobs"], "additionalProperties": False},
            jobs,
        ],
        "$defs": definitions,
    }  # fmt: skip
