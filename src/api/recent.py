"""What is looked up again when it is old, by one thread: nobody else waits for it meanwhile."""

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")
WORN = 2.0


class Recent(Generic[T]):
    """A value that stays true for `same_s` seconds, and for some more while another thread looks it
    up again.

    look: finds it, and may raise: then the one who looked hears of it, and the next one looks
    again.
    share: looking takes at most this part of a thread's time; what takes long is looked up less
    often.
    """

    def __init__(self, look: Callable[[], T], same_s: float, share: float = 1.0) -> None:
        self._look, self._same_s, self._share = look, same_s, share
        self._value: T | None = None
        self._until, self._known = -math.inf, False
        self._lock = threading.Lock()

    def get(self) -> T:
        """The value. Who finds it a little old while another thread looks takes it as it is; who
        finds none, or one that is `WORN` times as old as it may be, waits.
        """
        if self._is_old() and self._lock.acquire(blocking=self._is_worn()):
            try:
                if self._is_old():
                    self._renew()
            finally:
                self._lock.release()
        return cast(T, self._value)

    def _is_old(self) -> bool:
        return time.monotonic() > self._until

    def _is_worn(self) -> bool:
        return not self._known or time.monotonic() > self._until + WORN * self._same_s

    def _renew(self) -> None:
        begin = time.monotonic()
        self._value, self._known = self._look(), True
        end = time.monotonic()
        self._until = end + max(self._same_s, (end - begin) / self._share)
