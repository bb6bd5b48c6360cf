"""What is served of a released clip that is signed: a copy whose record tells of the release."""

import secrets
import tempfile
from pathlib import Path, PurePosixPath

from src.api.problems import ApiError
from src.artifacts.store import ArtifactStore, measured_file
from src.core.addresses import StoredFile, name_of, release_key
from src.core.durable import write_stream
from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.releases.model import Release
from src.trust.release import can_tell, tell_of_release
from src.trust.settings import signing_state


def told_of_release(files: ArtifactStore, release: Release) -> StoredFile | None:
    """Make it; None where clips are not signed here, or this one was not: then the approved file
    itself is served. Raises ApiError 503 where it cannot be signed, and 409 where the file is not
    the one that was approved: nothing is let out then.
    """
    if signing_state() != "on":
        return None
    name = PurePosixPath(name_of(release.key))
    key = release_key(f"{name.stem}.{secrets.token_hex(4)}{name.suffix}")
    with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
        target = Path(folder) / name.name
        if not _signed(_approved(files, release, Path(folder)), target, release):
            return None
        with target.open("rb") as data:
            files.put(key, data, once=True)
    return measured_file(files, key)


def other_bytes(release: Release) -> ApiError:
    """A file of it is not as it was approved, or let out."""
    return ApiError(
        409, f"the clip of release {release.id} does not have the bytes that were approved"
    )


def _approved(files: ArtifactStore, release: Release, folder: Path) -> Path:
    """A copy of our own, whose hash is looked at: the store's file may be another a moment later.
    Raises ApiError 409 where it is one now.
    """
    copy = folder / f"approved{PurePosixPath(release.key).suffix}"
    with files.open(release.key, release.version) as data:
        write_stream(copy, data, synced=False)
    if sha256_of(copy) != release.sha256:
        raise other_bytes(release)
    return copy


def _signed(clip: Path, target: Path, release: Release) -> bool:
    told = {"release": release.id, "approved_sha256": str(release.sha256)}
    try:
        if not can_tell(clip):
            return False
        tell_of_release(clip, target, told)
    except (BadInputError, MissingFileError) as error:
        raise ApiError(
            503, f"release {release.id} is not let out, for it cannot be signed: {error}"
        ) from None
    return True
