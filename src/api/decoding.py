"""Who may decode now: a few files at a time, and one of each key, so that nobody's file holds up
another desk.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.worker.wall import Limits, Wall

MOST = max(2, min(4, os.cpu_count() or 2))
MEMORY = (
    3 << 30
)  # 100 megapixels take 400 MB, and a video's decoder several frames of the largest size


@dataclass
class Line:
    """Requests of one key that decode or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Decoding:
    """Turns at the wall. Waiting takes no thread: only who decodes holds one."""

    def __init__(self, wall: Wall | None = None, most: int = MOST) -> None:
        self.wall = wall or Wall(Limits(memory=MEMORY))
        self._places, self._lines = asyncio.Semaphore(most), {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[Wall]:
        """The wall, once the key's earlier files are through and a place is free."""
        line = self._lines.setdefault(key, Line())
        line.users += 1
        try:
            async with line.lock, self._places:
                yield self.wall
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[key]
