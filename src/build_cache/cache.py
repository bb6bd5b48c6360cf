"""Optimised builds of models on disk, which processes share.

    MODEL/KEY/about.json        the fields of the key, hashes of the files, what was measured
    MODEL/KEY/...               the files of the build
    MODEL/KEY/ok                written last; its time is that of the last use
    MODEL/.KEY.PID.THREAD.partial/   a build that is being made

A build is there whole or not at all: it is made aside and renamed. One that is damaged, or that an
other key made, is removed where it is looked for, and its finder makes it anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from src.build_cache import users
from src.build_cache.key import BuildKey, short_digest
from src.core.durable import make_folder, sync_file, sync_folder
from src.core.errors import OutputError
from src.core.files import sha256_of
from src.core.paths import home

ABOUT, OK, PARTIAL, LOCK = "about.json", "ok", ".partial", ".lock"
BUDGET = 4 << 30
"""Bytes that builds may take before those that were used longest ago go."""


@dataclass(frozen=True)
class Build:
    """A whole build. facts: what its maker measured of it."""

    folder: Path
    model: str
    fields: dict[str, Any]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """MODEL/KEY, as commands show and take it."""
        return f"{self.model}/{self.folder.name}"

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    @property
    def used(self) -> float:
        """When it was last opened, in seconds since 1970."""
        return (self.folder / OK).stat().st_mtime


Maker = Callable[[Path], dict[str, Any]]
"""Writes the files of a build into a folder, proves them, and returns the facts."""


class BuildCache:
    """The cache of a folder, `<home>/cache/models` unless said otherwise."""

    def __init__(self, root: Path | None = None, budget: int = BUDGET) -> None:
        self.root, self.budget = root or home() / "cache" / "models", budget

    def find(self, key: BuildKey) -> Build | None:
        """The build of a key, marked as used by this process; None where there is none that is
        whole.
        """
        folder = self.root / key.model / key.digest
        if not folder.is_dir():
            return None
        build = read_build(folder)
        if build is None or build.fields != key.fields:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        self._use(build)
        return build

    def add(self, key: BuildKey, make: Maker) -> Build:
        """The build of a key, made where it is not there. Where somebody else was faster, theirs.

        Raises OutputError where the disk does not take it, and whatever `make` raises; nothing of
        the build is left then.
        """
        if (found := self.find(key)) is not None:
            return found
        own = f"{os.getpid()}.{threading.get_native_id()}"
        partial = self.root / key.model / f".{key.digest}.{own}{PARTIAL}"
        try:
            self._make(partial, key, make)
            self._settle(partial, key)
        except OSError as error:
            raise _refused(self.root, error) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        built = self.find(key)
        if built is None:
            raise OutputError(f"{self.root / key.model} lost a build right after it was written")
        self.prune(self.budget)
        return built

    def _make(self, partial: Path, key: BuildKey, make: Maker) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        facts = make(partial)
        files = {file.name: sha256_of(file) for file in sorted(partial.iterdir())}
        about = {"model": key.model, "fields": key.fields, "files": files, "facts": facts}
        (partial / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        (partial / OK).touch()
        for file in partial.iterdir():
            sync_file(file)
        sync_folder(partial)

    def _settle(self, partial: Path, key: BuildKey) -> None:
        """Under its final name, unless another process was there first."""
        final = self.root / key.model / key.digest
        try:
            partial.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        sync_folder(final.parent)

    def _use(self, build: Build) -> None:
        """Best effort: on a disk that takes no more, a build can still be read."""
        try:
            users.mark_in_use(build.folder)
            os.utime(build.folder / OK)
        except OSError as error:
            from loguru import logger

            logger.debug("use of {} not written down: {}", build.name, error)

    def builds(self) -> Iterator[Build]:
        """Every whole build, by name."""
        for folder in sorted(self.root.glob("*/*")):
            if folder.is_dir() and not folder.name.startswith("."):
                build = read_build(folder)
                if build is not None:
                    yield build

    def remove(self, build: Build) -> bool:
        """Whether it could go: a build that another process has open stays."""
        if users.others(build.folder):
            return False
        shutil.rmtree(build.folder, ignore_errors=True)
        return True

    def prune(self, budget: int) -> list[Build]:
        """Remove what was used longest ago until at most `budget` bytes are left, but nothing that
        a process has open, this one included; and what interrupted or damaged builds left.
        """
        self._sweep()
        kept = sorted(self.builds(), key=lambda build: build.used)
        total, gone = sum(build.bytes for build in kept), []
        for build in kept:
            if total <= budget:
                break
            size = build.bytes
            if not users.is_open(build.folder) and self.remove(build):
                total -= size
                gone.append(build)
        return gone

    def _sweep(self) -> None:
        for folder in self.root.glob(f"*/.*{PARTIAL}"):
            pid = folder.name.split(".")[2]
            if not (pid.isdigit() and users.lives(int(pid))):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self.root.glob("*/*"):
            broken = not folder.name.startswith(".") and folder.is_dir()
            if broken and read_build(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)

    def recall(self, model: str, question: Any) -> Any:
        """What `note` wrote down of a question; None where nothing."""
        try:
            return json.loads(self._note(model, question).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def note(self, model: str, question: Any, answer: Any) -> None:
        """Write down a small answer, such as which build is fastest; it is not pruned. Raises
        OutputError.
        """
        from src.core.durable import write_whole

        write_whole(self._note(model, question), json.dumps(answer, indent=1).encode())

    @contextmanager
    def alone(self, model: str) -> Iterator[None]:
        """While an answer is sought that `note` will keep: others wait, and then find it. Raises
        OutputError at once where the folder cannot be written.
        """
        folder = self.root / model
        with ExitStack() as stack:
            try:
                make_folder(folder)
                handle = stack.enter_context((folder / LOCK).open("wb", buffering=0))
                handle.write(b"%d\n" % os.getpid())  # a full disk takes no byte
                _hold(handle)
            except OSError as error:
                raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
            yield

    def _note(self, model: str, question: Any) -> Path:
        return self.root / model / f"note-{short_digest(question)}.json"


def _hold(handle: IO[bytes]) -> None:
    """The system takes the lock from a process however it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        from loguru import logger

        logger.info("another process measures just now; this one waits for it")
        fcntl.flock(handle, fcntl.LOCK_EX)


def read_build(folder: Path) -> Build | None:
    """The build of a folder; None where it is not whole or a file is not as it was written."""
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        whole = (folder / OK).is_file() and all(
            sha256_of(folder / name) == sha256 for name, sha256 in about["files"].items()
        )
        return Build(folder, about["model"], about["fields"], about["facts"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _refused(root: Path, error: OSError) -> OutputError:
    why = error.strerror or str(error)
    return OutputError(f"{root} takes no build: {why}; make room, or move it with NEWSREEL_HOME")
