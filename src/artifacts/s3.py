"""The artifact store of many machines: a bucket of an S3 server."""

import hashlib
import io
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import obstore

from src.artifacts.copies import LocalCopies, workroom
from src.artifacts.folder import PART
from src.artifacts.s3_place import REQUEST_S, S3Place
from src.artifacts.s3_reader import RangeReader
from src.artifacts.s3_trouble import RAISED, NoBucketError, RefusedKeyError, store_error
from src.artifacts.store import CHUNK, Patience, StoreAwayError, TakenError
from src.core.addresses import StoredFile, checked, name_of
from src.core.errors import BadInputError, MissingFileError, OutputError

T = TypeVar("T")
PIECE = 8 << 20
TOGETHER = 4  # parts of an upload at a time
DIGEST = "sha256"
PROBE = "house/probe"
TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".png": "image/png",
         ".jpg": "image/jpeg", ".json": "application/json"}  # fmt: skip


class S3Store:
    """Files of a bucket under a prefix. work: a folder of this machine for copies and for what is
    being made. patience: who decides whether to wait while the server is away; None: nobody waits.
    """

    def __init__(
        self, place: S3Place, work: Path, most: int, patience: Patience | None = None
    ) -> None:
        self.place, self.work, self.patience = place, work, patience
        self.origin = place.links
        self._client = place.client()
        outside = place.for_clients()
        self._outside = outside.client() if outside else None
        self._copies = LocalCopies(work / "copies", most)

    def check(self) -> None:
        """Raise BadInputError where the key or the bucket is wrong, or where the server lets a
        second writer replace a file that is to be written once.
        """
        try:
            self._ask(PROBE, lambda: next(iter(obstore.list(self._client, "house")), None))
            for _ in range(2):
                self._ask(PROBE, lambda: obstore.put(self._client, PROBE, b"", mode="create"))
        except TakenError:
            return
        except RefusedKeyError as error:
            raise BadInputError(
                f"{self.place}: {error}; put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY right"
            ) from None
        except NoBucketError as error:
            raise BadInputError(f"{self.place}: {error}; make it first") from None
        raise BadInputError(
            f"{self.place} replaces files in spite of If-None-Match; use a server that heeds it"
        )

    def put(self, key: str, data: BinaryIO, durable: bool = True, once: bool = False) -> None:
        place, begin, digest = _place(key), data.tell(), _digest(data)
        told = {DIGEST: digest, "Content-Type": _type(key)}
        size, mode = _rest(data, begin), "create" if once else "overwrite"
        client = self.place.client(whole_s(size)) if once and size > PIECE else self._client

        def send() -> None:
            data.seek(begin)
            obstore.put(
                client, place, data, attributes=told, mode=mode,
                use_multipart=size > PIECE, chunk_size=PIECE, max_concurrency=TOGETHER,
            )  # fmt: skip

        try:
            self._ask(key, send, durable)
        except TakenError:
            if self._found(key).file.sha256 != digest:
                raise

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        seen = self._found(key, version)
        one = {"version": seen.file.version} if seen.file.version else {}
        same = one | {"if_match": seen.tag}

        def fetch(begin: int, end: int) -> bytes:
            return self._get(key, same | {"range": (begin, end)})[1]

        size = seen.file.bytes or 0
        return cast(BinaryIO, io.BufferedReader(RangeReader(size, fetch), CHUNK))

    def look(self, key: str, version: str | None = None) -> StoredFile | None:
        seen = self._look(key, version)
        return seen.file if seen else None

    def url(self, key: str, seconds: int, version: str | None = None) -> str | None:
        if self._outside is None or (version and version != self._newest(key)):
            return None
        return obstore.sign(self._outside, "GET", _place(key), timedelta(seconds=seconds))

    def list(self, prefix: str) -> Iterator[str]:
        for key in self._listed(prefix):
            name = name_of(key)
            if not name.startswith(".") and not name.endswith(PART):
                yield key

    def unfinished(self, prefix: str) -> Iterator[str]:
        """Only what was put out of the way: an upload that broke off is not in the store, and the
        bucket's own rules end its parts.
        """
        folder, _, begin = prefix.rpartition("/")
        return (key for key in self._listed(f"{folder}/.{begin}") if PART in key)

    def delete(self, *keys: str) -> None:
        if wanted := [_place(key) for key in keys]:
            self._ask(wanted[0], lambda: obstore.delete(self._client, wanted))

    def move(self, key: str, wanted: str) -> bool:
        source, target = _place(key), _place(wanted)
        try:
            self._ask(key, lambda: obstore.copy(self._client, source, target, overwrite=False))
        except (TakenError, MissingFileError):
            return False
        self.delete(key)
        return True

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A copy that is kept for the next one who asks."""
        file, tag = self._found(key)
        identity = f"{self.place} {key} {file.version} {tag}"
        with self._copies.lent(name_of(key), identity, lambda path: self._fetch(file, path)) as own:
            yield own

    @contextmanager
    def making(self, key: str, once: bool = False) -> Iterator[Path]:
        """In a folder that goes; the file itself is stored last."""
        folder, _, name = checked(key).rpartition("/")
        with workroom(self.work / "making") as room:
            yield (path := room / name)
            for made in sorted(room.iterdir(), key=lambda made: made == path):
                if made.name.startswith(f"{path.stem}.") and not made.name.endswith(PART):
                    with made.open("rb") as stream:
                        self.put(f"{folder}/{made.name}", stream, once=once)

    def _fetch(self, file: StoredFile, path: Path) -> None:
        """Raises OutputError where other bytes arrive than were stored."""
        with self.open(file.key, file.version) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, PIECE)
        with path.open("rb") as written:
            if file.sha256 and _digest(written) != file.sha256:
                raise OutputError(f"{file.key} arrived from the store with other bytes; try again")
        os.utime(path, (file.modified or 0.0, file.modified or 0.0))

    def _listed(self, prefix: str) -> tuple[str, ...]:
        folder, _, begin = checked(f"{prefix}x")[:-1].rpartition("/")
        return self._ask(prefix, lambda: tuple(self._pages(prefix, folder, begin)))

    def _pages(self, prefix: str, folder: str, begin: str) -> Iterator[str]:
        """Keys come in order: from just before the prefix, until behind it."""
        offset = f"{folder}/{begin[:-1]}" if begin[:-1] else None
        for page in obstore.list(self._client, folder, offset=offset):
            for key in (each["path"] for each in page):
                if key.startswith(prefix):
                    yield key
                elif key > prefix:
                    return

    def _look(self, key: str, version: str | None = None) -> "TaggedFile | None":
        options: dict[str, Any] = {"head": True} | ({"version": version} if version else {})
        try:
            found = self._get(key, options)[0]
        except MissingFileError:
            return None
        meta, digest = found.meta, found.attributes.get(DIGEST)
        when = meta["last_modified"].timestamp()
        return TaggedFile(
            StoredFile(key, meta["size"], when, digest, meta["version"]), meta["e_tag"]
        )

    def _newest(self, key: str) -> str | None:
        seen = self._look(key)
        return seen.file.version if seen else None

    def _found(self, key: str, version: str | None = None) -> "TaggedFile":
        if (seen := self._look(key, version)) is None:
            raise MissingFileError(f"{key} is not in the store")
        return seen

    def _get(self, key: str, options: dict[str, Any]) -> tuple[Any, bytes]:
        """What is told of a file, and the bytes that were asked for."""

        def get() -> tuple[Any, bytes]:
            found = obstore.get(self._client, place, options=cast(Any, options))
            return found, b"" if options.get("head") else bytes(found.bytes())

        place = _place(key)
        return self._ask(key, get)

    def _ask(self, key: str, call: Callable[[], T], durable: bool = True) -> T:
        """What `call` returns; again and again while the server is away and patience lasts."""
        begin = time.monotonic()
        while True:
            try:
                return call()
            except RAISED as error:
                trouble = store_error(error, key)
            if not isinstance(trouble, StoreAwayError) or not (durable and self.patience):
                raise trouble
            if not self.patience(trouble, time.monotonic() - begin):
                raise trouble


class TaggedFile(NamedTuple):
    """A file as the server told of it, and the tag of its bytes."""

    file: StoredFile
    tag: str


def _place(key: str) -> str:
    """The key, where an object may have it."""
    if any(ord(letter) < 32 or letter == "\x7f" for letter in checked(key)):
        raise BadInputError(f"{key[:80]!r} is no key of a stored file; such as examples/NAME.mp4")
    return key


def _digest(stream: BinaryIO) -> str:
    """SHA-256 of the rest of a stream."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _rest(stream: BinaryIO, begin: int) -> int:
    """Bytes from `begin` to the end."""
    size = stream.seek(0, os.SEEK_END) - begin
    stream.seek(begin)
    return size


def whole_s(size: int) -> int:
    """Seconds for a file of `size` bytes that goes up in one request, as obstore sends whatever is
    to be created once: no less than its parts would have, `TOGETHER` at a time (0.56 MB a second).
    """
    return REQUEST_S * max(1, math.ceil(size / (PIECE * TOGETHER)))


def _type(key: str) -> str:
    return TYPES.get(Path(key).suffix.lower(), "application/octet-stream")
