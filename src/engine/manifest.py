"""The manifest beside each clip: what was asked, what was run, on what, and the hash of what came
out.
"""

import json
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

import src
from src.core.config import Config, validate
from src.core.devices import threads_on
from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.core.hardware import Hardware
from src.core.paths import absent, is_file, portable
from src.core.plan import Plan
from src.core.request import Request
from src.core.result import Costs
from src.core.text import read_json
from src.pipelines.adapter_files import split_weight
from src.pipelines.attention_kernels import OPTIONAL, version_of

SCHEMA_VERSION = 3
"""2 added `upscale` and `upscaler_weights` to the plan; a manifest of version 1 reads as one that
enlarges nothing. 3 added `sigmas`, and `family` to the session; older ones are of CogVideoX.
"""
PACKAGES = ("torch", "diffusers", "transformers", "numpy", "av", "pillow")


class PublishedClip(Config):
    """The published file. file: its name, without a folder. sha256, bytes:
    of the MP4 as published.
    """

    file: str
    sha256: str
    bytes: int


class Mark(Config):
    """The watermark in a clip. id: 12 hexadecimal digits. key: which key it was made with."""

    id: str
    key: str


class Manifest(Config):
    """Everything needed to say how a clip was made, and to make it again. No absolute paths, no
    secrets.

    request: as asked, paths made portable. plan, plan_sha256: as run. photograph: file name under
    its hash. frame_sha256: over the RGB frames as the model and the upscaler made them;
    encoded_sha256: over those that were encoded, where filters changed them. versions: of what
    computed.
    watermark: the mark that the picture carries, or None. fingerprint: what it looks like (ISCC
    Video-Code, hexadecimal), "" where none was taken. threads: of the CPU that computed, for sums
    split among others have other last bits; None where a GPU computed, or where that is not known.
    report: the temporal report, or None. fallbacks: plans left for lack of memory. before: frames
    of the clip that is gone on with, which `plan.extends` names. press: what the photograph's
    file says of itself (IPTC).
    """

    schema_version: int = SCHEMA_VERSION
    created: str
    newsreel: str
    request: dict[str, Any]
    plan: Plan
    plan_sha256: str
    photograph: str
    clip: PublishedClip
    frame_sha256: str
    hardware: str
    versions: dict[str, str]
    costs: Costs
    report: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = Field(default=())
    encoded_sha256: str | None = None
    watermark: Mark | None = None
    fingerprint: str = ""
    before: int = 0
    press: dict[str, str] = Field(default_factory=dict)
    threads: int | None = None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def build_manifest(
    request: Request,
    plan: Plan,
    hardware: Hardware,
    photograph: str,
    clip: PublishedClip,
    **outcome: Any,
) -> Manifest:
    """Gather the manifest; `outcome` holds the hashes of the frames, costs, report, warnings and
    fallbacks.
    """
    return Manifest(
        created=now(),
        newsreel=src.__version__,
        request=portable_request(request),
        plan=plan,
        plan_sha256=plan.digest(),
        photograph=photograph,
        clip=clip,
        hardware=hardware.name,
        versions=versions(plan.session.attention),
        threads=threads_on(hardware.device),
        **outcome,
    )


def portable_request(request: Request) -> dict[str, Any]:
    """The request as JSON, with what differs from the defaults and paths that say nothing of the
    machine.
    """
    data = request.model_dump(mode="json", exclude_defaults=True, exclude={"overwrite"})
    for key in ("input_image", "output_path"):
        if data.get(key):
            data[key] = portable(Path(data[key]))
    if request.lora:
        data["lora"] = [
            f"{portable(Path(path))}={weight:g}" for path, weight in map(split_weight, request.lora)
        ]
    if "/" in request.model:
        data["model"] = portable(Path(request.model))
    return data


def versions(attention: str = "") -> dict[str, str]:
    """Versions of Python and of the packages that computing depends on; of an attention kernel of
    a package, by name, that package's too.
    """
    package = [OPTIONAL[attention].package] if attention in OPTIONAL else []
    return (
        {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES}
        | {name: version_of(name) for name in package}
    )


def to_json(manifest: Config) -> bytes:
    """As UTF-8; a byte of a file name that is no UTF-8 becomes a JSON escape, which reads back as
    it was.
    """
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest of this or an older schema version.
    Raises MissingFileError or BadInputError.
    """
    if not is_file(path):
        raise MissingFileError(f"manifest {path} {absent(path)}")
    try:
        data = read_json(path)
    except BadInputError as error:
        raise BadInputError(f"{path} is not a manifest: {error}") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BadInputError(
            f"{path} has schema_version {version!r}; this Newsreel reads up to {SCHEMA_VERSION}"
        )
    return validate(data | {"schema_version": SCHEMA_VERSION}, Manifest, str(path))


def describe_clip(path: Path, final: Path) -> PublishedClip:
    """Hash and size of the temporary file `path` that will be published as `final`."""
    return PublishedClip(file=final.name, sha256=sha256_of(path), bytes=path.stat().st_size)
