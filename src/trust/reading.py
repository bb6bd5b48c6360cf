"""What a file's signed provenance says, read without the network."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.errors import MissingFileError
from src.core.paths import is_file
from src.trust.claim import GENERATION, PUBLISHED, RELEASE
from src.trust.context import make_context
from src.trust.extra import load_extra
from src.trust.failures import EXPIRED, INGREDIENT, Failure, all_failures
from src.trust.signing import sidecar_of

TRUSTED, UNKNOWN, EXPIRED_STATE = "trusted", "valid", "expired"
CHANGED, NONE, ELSEWHERE, UNREADABLE = "changed", "none", "elsewhere", "unreadable"
TRACES = (
    bytes.fromhex("6332706100110010800000aa00389b71"),  # the JUMBF type of a record
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"),  # the uuid box of an MP4 that holds it
)
CHUNK = 1 << 20
SOURCE = "digitalSourceType"
LONGEST, MOST, MOST_BYTES = 200, 50, 10_000
"""Letters of a name, ingredients, and bytes of our assertion that are shown of any file."""


@dataclass(frozen=True)
class Provenance:
    """state: "trusted" (whole, and by a signer whose root is configured), "valid" (whole, by a
    signer whom nobody here vouches for), "expired" (whole, but the certificate ended and nothing
    proves when it signed), "changed", "none", "elsewhere" (the file only names an address, which is
    not visited), or "unreadable" (a damaged file that shows no trace of a record).

    signer: name in the certificate. signed: time of a time stamp whose root is configured, or "".
    source_type: of IPTC. generation: our own assertion, or {}. ingredients: their titles. damage:
    what c2pa said of a record that it could not read. sidecar: the name of the file that holds the
    record, or "". released: when it was let out, as its signer says, or ""; such a record says the
    rest of the one below.
    """

    state: str
    signer: str = ""
    signed: str = ""
    source_type: str = ""
    generation: dict[str, Any] = field(default_factory=dict)
    ingredients: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    damage: str = ""
    sidecar: str = ""
    released: str = ""


def read_provenance(path: Path, anchors: str | None = None) -> Provenance:
    """Of a file, or of it and the sidecar beside it. anchors: roots to trust, as PEM.

    Raises MissingFileError, and BadInputError where c2pa is not here; damage is an answer.
    """
    if not is_file(path):
        raise MissingFileError(f"there is no file {path}")
    c2pa, sidecar = load_extra("c2pa"), _sidecar(path)
    data = sidecar.read_bytes() if sidecar else None
    try:
        with path.open("rb") as stream:
            reader = c2pa.Reader.try_create(None, stream, data, make_context(anchors))
            told = json.loads(reader.json()) if reader else None
            state = reader.get_validation_state() if reader else None
    except c2pa.C2paError as error:
        return _unreadable(error, c2pa.C2paError, path, sidecar)
    if told is None:
        return Provenance(NONE)
    return _found(told, str(state), sidecar.name if sidecar else "")


def _sidecar(path: Path) -> Path | None:
    """Ours is NAME.SUFFIX.c2pa; others write NAME.c2pa."""
    if path.suffix == ".c2pa":
        return None
    places = (sidecar_of(path), path.with_suffix(".c2pa"))
    return next((place for place in places if is_file(place)), None)


def _unreadable(error: Exception, kinds: Any, path: Path, sidecar: Path | None) -> Provenance:
    """A file of no kind that C2PA knows has no provenance. One that breaks off was changed if there
    is a record of it, or a trace of one.
    """
    if isinstance(error, kinds.RemoteManifest) or "must fetch" in str(error):
        return Provenance(ELSEWHERE)
    if sidecar is None and isinstance(error, kinds.NotSupported):
        return Provenance(NONE)
    if sidecar is None and not _has_trace(path):
        return Provenance(UNREADABLE, damage=str(error))
    return Provenance(CHANGED, damage=str(error), sidecar=sidecar.name if sidecar else "")


def _has_trace(path: Path) -> bool:
    """Whether the bytes of a signed record begin anywhere in the file."""
    longest, kept = max(map(len, TRACES)), b""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            piece = kept + chunk
            if any(trace in piece for trace in TRACES):
                return True
            kept = piece[1 - longest :]
    return False


def _found(told: dict[str, Any], state: str, sidecar: str) -> Provenance:
    """Whoever made the file chose what it holds: what is shown of it is bounded."""
    failures = tuple(all_failures(told))
    manifest = told.get("manifests", {}).get(told.get("active_manifest"), {})
    signature, released = manifest.get("signature_info") or {}, _released(_assertions(manifest))
    if released:
        manifest = _below(told, manifest)
    assertions = _assertions(manifest)
    titles = [each.get("title") or "" for each in manifest.get("ingredients", ())]
    return Provenance(
        _state(state, failures),
        (signature.get("common_name") or signature.get("issuer") or "")[:LONGEST],
        _stamped(told, signature),
        _source_type(assertions),
        _generation(assertions.get(GENERATION)),
        tuple(title[:LONGEST] for title in titles[:MOST]),
        failures,
        sidecar=sidecar,
        released=released,
    )


def _assertions(manifest: dict[str, Any]) -> dict[Any, Any]:
    return {each.get("label"): each.get("data") for each in manifest.get("assertions", ())}


def _below(told: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """The record of the file that was let out: how it was made stands there."""
    parents = [each.get("active_manifest") for each in manifest.get("ingredients", ())]
    return told["manifests"].get(parents[0], manifest) if parents else manifest


def _released(assertions: dict[Any, Any]) -> str:
    """When, of a record that tells of a release and of nothing else."""
    found = [each for each in _actions(assertions) if each.get("action") == PUBLISHED]
    made = RELEASE in assertions and not any(each.get(SOURCE) for each in _actions(assertions))
    return str(found[-1].get("when") or "")[:LONGEST] if found and made else ""


def _generation(data: Any) -> dict[str, Any]:
    """Our own assertion, unless somebody filled it with what is none of ours."""
    small = isinstance(data, dict) and len(json.dumps(data)) <= MOST_BYTES
    return data if small else {}


def _stamped(told: dict[str, Any], signature: dict[str, Any]) -> str:
    """When it was signed, where somebody who is trusted says so."""
    good = (told.get("validation_results") or {}).get("activeManifest", {}).get("success", ())
    trusted = any(each["code"] == "timeStamp.trusted" for each in good)
    return (signature.get("time") or "") if trusted else ""


def _state(told: str, failures: tuple[Failure, ...]) -> str:
    if any(failure.contradicts for failure in failures):
        return CHANGED
    if any(failure.code == EXPIRED and failure.where != INGREDIENT for failure in failures):
        return EXPIRED_STATE
    return {"Trusted": TRUSTED, "Valid": UNKNOWN}.get(told, CHANGED)


def _source_type(assertions: dict[Any, Any]) -> str:
    """The last term that an action gives: what a file is made of after all of them."""
    terms = [str(action[SOURCE]) for action in _actions(assertions) if action.get(SOURCE)]
    return terms[-1].rsplit("/", 1)[-1][:LONGEST] if terms else ""


def _actions(assertions: dict[Any, Any]) -> list[dict[str, Any]]:
    data = [assertions.get(label) for label in ("c2pa.actions", "c2pa.actions.v2")]
    listed = [each.get("actions") for each in data if isinstance(each, dict)]
    return [action for each in listed for action in each or () if isinstance(action, dict)]
