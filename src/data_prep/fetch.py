"""Fetching over HTTP: resumed where it stopped, retried politely, hashed on the way; whole files or
none.
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.durable import write_whole
from src.core.errors import BadInputError, MissingWeightsError, OutputError
from src.core.files import sha256_of

TRIES = 4
TIMEOUT = 30.0
PIECE = 1 << 18
AGENT = "newsreel-data-prep (one connection, waits between tries)"
AGAIN = {408, 425, 429, 500, 502, 503, 504}
Told = Callable[[int, int], None]


def ignore_bytes(_: int, __: int) -> None:
    """The listener of downloads that nobody watches."""


class Fetcher:
    """One polite client. wait: seconds before the second try, doubled each time; a Retry-After is
    obeyed.
    """

    def __init__(self, wait: float = 2.0, tries: int = TRIES) -> None:
        self.wait, self.tries = wait, tries

    def file(
        self, url: str, path: Path, sha256: str | None = None, told: Told = ignore_bytes
    ) -> Path:
        """Fetch `url` into `path`, going on with `path.part` where one is left.

        Raises MissingWeightsError (exit 3) where the network or the server does not give it,
        BadInputError where the hash is not `sha256` (the file is removed then), OutputError where
        the disk is full.
        """
        partial = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._retried(url, lambda: self._append(url, partial, told))
        found = sha256_of(partial)
        if sha256 is not None and found != sha256:
            partial.unlink()
            raise BadInputError(
                f"{url} has SHA-256 {found[:12]}, not {sha256[:12]}: damaged or changed; try again"
            )
        partial.replace(path)
        return path

    def bytes(self, url: str, begin: int, end: int) -> bytes:
        """The bytes [begin, end) of `url`. Raises BadInputError where the server gives no parts of
        files.
        """

        def get() -> bytes:
            with self._open(url, {"Range": f"bytes={begin}-{end - 1}"}) as answer:
                if answer.status != 206:
                    raise BadInputError(
                        f"{url}: the server gives whole files only; fetch it by hand and unpack it"
                    )
                return answer.read()

        return self._retried(url, get)

    def size(self, url: str) -> int:
        """Bytes of the file behind `url`."""

        def get() -> int:
            with self._open(url, {"Range": "bytes=0-0"}) as answer:
                stated = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if answer.status != 206 or not stated.isdigit():
                    raise BadInputError(
                        f"{url}: the server gives whole files only; fetch it by hand and unpack it"
                    )
                return int(stated)

        return self._retried(url, get)

    def _append(self, url: str, partial: Path, told: Told) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status == 416:  # all of it is there
                return
            have = have if answer.status == 206 else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            try:
                with partial.open("ab" if have else "wb") as file:
                    while piece := answer.read(PIECE):
                        file.write(piece)
                        have += len(piece)
                        told(have, total)
            except OSError as error:
                if error.errno is not None and not isinstance(
                    error, ConnectionError | TimeoutError
                ):
                    raise OutputError(f"{partial} cannot be written: {error.strerror}") from None
                raise
        if have < total:
            raise ConnectionError(f"the connection broke after {have} of {total} bytes")

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[Any]:
        request = urllib.request.Request(url, headers={"User-Agent": AGENT} | headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            yield error

    def _retried(self, url: str, work: Callable[[], Any]) -> Any:
        attempt = 0
        while True:
            try:
                return work()
            except urllib.error.HTTPError as error:
                reason, final = f"HTTP {error.code} {error.reason}", error.code not in AGAIN
                asked = error.headers.get("Retry-After", "")
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                reason, final, asked = str(getattr(error, "reason", error)), False, ""
            if final or attempt == self.tries - 1:
                raise MissingWeightsError(
                    f"{url} cannot be fetched ({reason}); check the network, or fetch it elsewhere "
                    "and see "
                    "docs/datasets/README.md for where it goes"
                )
            time.sleep(float(asked) if asked.isdigit() else self.wait * 2**attempt)
            attempt += 1


class RemoteFile(io.RawIOBase):
    """A file behind a URL that `zipfile` can read: only the parts that are asked for travel."""

    BLOCK = 1 << 20

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self.url, self.fetcher = url, fetcher
        self.length = fetcher.size(url)
        self._at = 0
        self._block: tuple[int, bytes] = (-1, b"")

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from one block, fetched once; zipfile asks again for the rest."""
        number, inside = divmod(self._at, self.BLOCK)
        if self._at >= self.length:
            return 0
        if self._block[0] != number:
            begin = number * self.BLOCK
            self._block = (
                number,
                self.fetcher.bytes(self.url, begin, min(begin + self.BLOCK, self.length)),
            )
        part = self._block[1][inside : inside + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class DownloadLedger:
    """`hashes.json` in a data folder: SHA-256 of what was fetched, so that a later run knows a
    whole file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hashes.json"
        self.known: dict[str, str] = (
            json.loads(self.path.read_text("utf-8")) if self.path.is_file() else {}
        )

    def holds(self, file: Path) -> bool:
        """Whether the file is there as it was fetched."""
        name = file.relative_to(self.path.parent).as_posix()
        return file.is_file() and self.known.get(name) == sha256_of(file)

    def add(self, file: Path) -> None:
        self.known[file.relative_to(self.path.parent).as_posix()] = sha256_of(file)
        write_whole(self.path, (json.dumps(self.known, indent=1, sort_keys=True) + "\n").encode())
