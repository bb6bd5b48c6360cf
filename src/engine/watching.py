"""A folder into which photographs are put: which of them are to become clips, and what of them is
done.

All that is known lies in the folder, so that a run which is stopped anywhere goes on: a clip
`NAME.mp4` with its manifest beside `NAME.jpg` is done, unless photograph or words have changed
since. What cannot become a clip is moved into `rejected/` with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from itertools import chain, count
from pathlib import Path
from typing import Any

from src.core.config import read_yaml, validate
from src.core.durable import write_whole
from src.core.errors import BadInputError, OutputError
from src.core.files import sha256_of
from src.core.paths import is_file
from src.core.request import Request
from src.core.text import decode_text
from src.engine.manifest import read_manifest
from src.media.press_metadata import press_caption

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif")
WORDS, FIELDS = ".txt", (".yaml", ".yml")
REJECTED = "rejected"


@dataclass(frozen=True)
class Watched:
    """A photograph that became quiet. said: fields of a request, from its sidecar or its caption;
    empty where nobody said what happens.
    """

    photograph: Path
    said: dict[str, Any]

    @property
    def clip(self) -> Path:
        """Where its clip belongs."""
        return self.photograph.with_suffix(".mp4")

    def request(self, usual: Request) -> Request:
        """What is asked of the engine. Raises BadInputError for a wrong field."""
        own = {"input_image": self.photograph, "output_path": self.clip, "overwrite": False}
        given = usual.model_dump(exclude_unset=True) | self.said | own
        return validate(given, Request, f"the sidecar of {self.photograph.name}")

    def is_done(self) -> bool:
        """Whether its clip is there, of this photograph and these words."""
        try:
            made = read_manifest(self.clip.with_suffix(".json"))
        except BadInputError:
            return False
        same = made.photograph.startswith(sha256_of(self.photograph))
        said = {name: self.said[name] for name in self.said if name in ("prompt", "template")}
        return same and self.clip.is_file() and said.items() <= made.request.items()


class WatchedFolder:
    """settle: seconds in which neither a photograph nor its sidecar may have changed. patience:
    seconds that a photograph without words waits for a sidecar before it is rejected.
    """

    def __init__(self, folder: Path, settle: float = 2.0, patience: float = 60.0) -> None:
        self.folder, self.settle, self.patience = folder, settle, patience

    def ready(self) -> Iterator[Watched]:
        """Photographs that are to become clips now, the oldest first."""
        for path in self._photographs():
            with suppress(FileNotFoundError):  # taken away meanwhile
                if (watched := self._judged(path)) is not None:
                    yield watched

    def _judged(self, path: Path) -> Watched | None:
        """The photograph where it is to become a clip; what cannot is rejected."""
        changed = max(each.stat().st_mtime for each in (path, *self._sidecars(path)))
        if (quiet := time.time() - changed) < self.settle:
            return None
        try:
            watched = Watched(path, self._said(path))
        except BadInputError as error:
            self.reject(path, str(error))
            return None
        if not watched.said and quiet >= self.patience:
            self.reject(path, self._wordless(path))
        return watched if watched.said and not watched.is_done() else None

    def reject(self, photograph: Path, reason: str, alone: bool = False) -> None:
        """Move it aside under a name that is free there, and say why beside it. alone: its sidecars
        stay, for they are another one's too. Raises OutputError.
        """
        aside = self.folder / REJECTED
        _make(aside)
        stem = self._free_stem(aside, photograph)
        for path in (*(() if alone else self._sidecars(photograph)), photograph):
            _move(path, aside / f"{stem}{path.suffix}")
        why = aside / f"{stem}{photograph.suffix}.why.txt"
        write_whole(why, f"{reason}\n".encode())

    @staticmethod
    def _free_stem(aside: Path, photograph: Path) -> str:
        """Cameras use names again: what was rejected before stays."""
        numbered = (f"{photograph.stem}-{number}" for number in count(2))
        stems = chain([photograph.stem], numbered)
        return next(stem for stem in stems if not any(aside.glob(f"{escape(stem)}.*")))

    def _photographs(self) -> list[Path]:
        """The oldest first. Of several with one stem, whose clip would be the same file, the first
        by name stays; the others are rejected.
        """
        named: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() not in PICTURES or path.name.startswith("."):
                continue
            if not is_file(path):  # a link to nowhere, a folder, a pipe whose reader would wait
                continue
            owner = named.setdefault(path.stem, path)
            if owner is not path:
                self.reject(path, f"its clip would be that of {owner.name}; rename it", alone=True)
        return sorted(named.values(), key=_age)

    @staticmethod
    def _sidecars(photograph: Path) -> list[Path]:
        every = (photograph.with_suffix(suffix) for suffix in (WORDS, *FIELDS))
        return [path for path in every if path.is_file()]

    def _said(self, photograph: Path) -> dict[str, Any]:
        """Raises BadInputError for a sidecar that is none."""
        said: dict[str, Any] = {}
        for path in self._sidecars(photograph):
            said |= read_yaml(path) if path.suffix in FIELDS else _prompt(path)
        if not said.keys() & {"prompt", "template"} and (caption := press_caption(photograph)):
            said["prompt"] = caption
        return said if said.keys() & {"prompt", "template"} else {}

    @staticmethod
    def _wordless(photograph: Path) -> str:
        stem = photograph.stem
        return (
            f"nobody said what happens in it: put the prompt into {stem}.txt, fields of a request "
            f"into {stem}.yaml, or a caption into the photograph (IPTC)"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from None


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except OSError as error:
        raise OutputError(f"{path} cannot be moved to {target}: {error.strerror}") from None


def _age(path: Path) -> float:
    """0 for one that is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _prompt(path: Path) -> dict[str, Any]:
    text = decode_text(path.read_bytes(), path.name).strip()
    return {"prompt": text} if text else {}
