"""Who may decode now: a few files at a time, and one of each key, so that nobody's file holds up
another desk.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.accounts.accounts import OPEN
from src.worker.wall import DecodeLimits, Wall

MOST = 4
"""Places, also where there are fewer cores: one is held too while a request changes threads."""
SOON_S = 0.25
MEMORY = (
    3 << 30
)  # 100 megapixels take 400 MB, and a video's decoder several frames of the largest size


@dataclass
class KeyLine:
    """Requests of one key that decode or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Turn:
    """One turn at the wall, which ends at the latest with its context."""

    def __init__(self, wall: Wall, release: Callable[[], None]) -> None:
        self.wall, self._release, self._loop = wall, release, asyncio.get_running_loop()

    def done(self) -> None:
        """The next one may decode, while this thread goes on; callable from any thread."""
        self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """The same, in the loop's own thread; does nothing the second time."""
        release, self._release = self._release, lambda: None
        release()


class DecodingQueue:
    """Turns at the wall. Waiting takes no thread: only who decodes holds one."""

    def __init__(self, wall: Wall | None = None, most: int = MOST) -> None:
        self.wall = wall or Wall(DecodeLimits(memory=MEMORY))
        self.most = most
        self._places, self._lines = asyncio.Semaphore(most), {}

    async def start(self) -> None:
        """A process for each place: one at once, the others when the service has begun to answer,
        so that neither its start nor a first rush of files waits for them.
        """
        await asyncio.to_thread(self.wall.start, 1)
        await asyncio.sleep(SOON_S)
        for count in range(2, self.most + 1):
            await asyncio.to_thread(self.wall.start, count)

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[Turn]:
        """The wall, once the key's earlier files are through and a place is free.

        An open service knows no desks: there only places are waited for.
        """
        async with self._line(key if key != OPEN else secrets.token_hex(8)) as line:
            await line.lock.acquire()
            try:
                await self._places.acquire()
            except BaseException:
                line.lock.release()
                raise
            turn = Turn(self.wall, lambda: self._release(line))
            try:
                yield turn
            finally:
                turn.end()

    def _release(self, line: KeyLine) -> None:
        self._places.release()
        line.lock.release()

    @asynccontextmanager
    async def _line(self, key: str) -> AsyncIterator[KeyLine]:
        line = self._lines.setdefault(key, KeyLine())
        line.users += 1
        try:
            yield line
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[key]
