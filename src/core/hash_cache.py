"""Hashes of files, read once and kept between runs."""

import json
import re
from pathlib import Path

from src.core.files import sha256_of


class HashCache:
    """Hashes by (path, size, mtime), kept in a JSON file between runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, str] = {}
        self.changed = False
        if path.is_file():
            try:
                self.known = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                self.changed = True

    def sha256(self, file: Path) -> str:
        blob = file.resolve()
        if re.fullmatch(r"[0-9a-f]{64}", blob.name):
            return blob.name
        stat = blob.stat()
        key = f"{blob}|{stat.st_size}|{stat.st_mtime_ns}"
        if key not in self.known:
            self.known[key] = sha256_of(blob)
            self.changed = True
        return self.known[key]

    def save(self) -> None:
        """Best effort: a hash that is not remembered is computed again next time."""
        if not self.changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known), encoding="utf-8")
        except OSError as error:
            from loguru import logger

            logger.debug("weight hashes not remembered: {}", error)
