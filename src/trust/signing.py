"""Sign a clip: XMP first, then the manifest, under a temporary name, in the place of the unsigned
file.
"""

import io
import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from loguru import logger

from src.core.durable import write_whole
from src.core.errors import BadInputError, OutputError
from src.core.paths import beside
from src.trust.claim import Claim, definition, ingredient
from src.trust.context import make_context
from src.trust.extra import check_extra, load_extra
from src.trust.settings import anchors
from src.trust.signer import Signatory, makes_trial, signatory
from src.trust.xmp import append_xmp

FORMATS = {".mp4": "video/mp4", ".m4v": "video/x-m4v", ".mov": "video/quicktime"}
"""Containers that take a manifest; others get it in a file beside them."""
OTHERS = {".mkv": "video/x-matroska", ".webm": "video/webm"}
TRIES, PAUSE_S = 3, 1.0


def sidecar_of(clip: Path) -> Path:
    """Where the manifest of a clip goes whose container takes none: NAME.SUFFIX.c2pa."""
    return clip.with_name(clip.name + ".c2pa")


def drop_stale_sidecar(clip: Path) -> None:
    """Remove what signed a file that had this name before: of this one it would say that it was
    changed. Raises OutputError.
    """
    try:
        sidecar_of(clip).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{sidecar_of(clip)} cannot be removed: {error.strerror}") from None


def check_signing() -> None:
    """Raise BadInputError now, in one sentence, for whatever would keep a clip from being signed: a
    package, a file, a certificate that C2PA refuses. It makes nothing: a trial authority comes with
    the first clip.
    """
    check_extra()
    if not makes_trial():
        _check_signatory()


def _check_signatory() -> None:
    who = signatory()
    if warning := who.warning(datetime.now(UTC)):
        logger.warning(warning)
    _rehearse(who)


def sign_file(file: Path, final: Path, claim: Claim) -> None:
    """Sign `file`, which will be `final` in the same folder; where this raises, `file` is not to be
    published. A sidecar is written where the container takes no manifest. Raises BadInputError or
    OutputError.
    """
    who, suffix = signatory(), final.suffix.lower()
    try:
        if suffix in FORMATS:
            append_xmp(file, claim)
            # a name that housekeeping knows as unfinished
            temporary = beside(final, f"{threading.get_native_id()}.partial")
            _embed(who, claim, file, temporary, FORMATS[suffix])
        else:
            manifest = _detached(who, claim, file, OTHERS.get(suffix, "application/octet-stream"))
            write_whole(sidecar_of(final), manifest)
    except OSError as error:
        raise OutputError(f"{final} cannot be signed: {error.strerror}") from None


def _embed(who: Signatory, claim: Claim, file: Path, temporary: Path, form: str) -> None:
    def sign(stamped: bool) -> None:
        with file.open("rb") as source, temporary.open("w+b") as target:
            _builder(claim).sign(who.signer(stamped), form, source, target)

    try:
        stamped(who, sign)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _detached(who: Signatory, claim: Claim, file: Path, form: str) -> bytes:
    """The manifest of a file that stays as it is."""

    def sign(stamped: bool) -> bytes:
        builder = _builder(claim)
        builder.set_no_embed()
        with file.open("rb") as source:
            return builder.sign(who.signer(stamped), form, source, io.BytesIO())

    return stamped(who, sign)


def _builder(claim: Claim) -> Any:
    # the ingredient is judged now, by the roots of now
    builder = load_extra("c2pa").Builder(definition(claim), make_context(anchors()))
    form = claim.input.suffix.lower().lstrip(".") or "application/octet-stream"
    with claim.input.open("rb") as stream:
        builder.add_ingredient(ingredient(claim), form, stream)
    return builder


def stamped(who: Signatory, sign: Callable[[bool], Any]) -> Any:
    """What `sign` makes: with a time stamp where a server is set; where it does not answer, a clip
    that took minutes is signed without one, and that is said. Raises BadInputError.
    """
    error_type = load_extra("c2pa").C2paError
    for attempt in range(TRIES if who.timestamp else 0):
        try:
            return sign(True)
        except error_type as error:
            logger.warning(f"no time stamp from {who.timestamp}: {error}")
            time.sleep(PAUSE_S * attempt)
    try:
        made = sign(False)
    except error_type as error:
        raise BadInputError(f"the clip cannot be signed: {who.trouble or error}") from None
    if who.timestamp:
        logger.warning("the clip is signed without a time stamp: it reads as invalid once the "
                       f"certificate ends, {who.ends:%Y-%m-%d}")  # fmt: skip
    return made


def _rehearse(who: Signatory) -> None:
    """Sign the smallest picture in memory, without a time stamp."""
    c2pa = load_extra("c2pa")
    created = {
        "action": "c2pa.created",
        "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty",
    }
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [created]}}
    try:
        builder = c2pa.Builder({"assertions": [actions]}, make_context())
        builder.sign(who.signer(False), "image/png", _dot(), io.BytesIO())
    except c2pa.C2paError as error:
        why = who.trouble or f"the signing certificate does not fit C2PA: {error}"
        raise BadInputError(why) from None


def _dot() -> BinaryIO:
    """One black pixel as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return len(data).to_bytes(4) + checked + zlib.crc32(checked).to_bytes(4)

    size = (1).to_bytes(4) * 2 + bytes((8, 0, 0, 0, 0))
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + body)
