"""Group commit: what several threads want to write at one time goes into one transaction."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    """One thread's item, and how it went. told: set when it is written, or when this thread is to
    write.
    """

    item: T
    told: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    error: BaseException | None = None


class GroupCommit(Generic[T]):
    """Whoever comes while a write is under way waits; the first of them then writes the items of
    all.

    write: is given a function that returns the items that wait by then, in the order in which they
    came; it writes all of them or none. It asks as late as it can, such as when it holds the lock.
    A commit that syncs the disk costs the same for one row and for fifty.
    """

    def __init__(self, write: Callable[[Callable[[], Sequence[T]]], None]) -> None:
        self._write = write
        self._waiting: list[_Entry[T]] = []
        self._lock, self._busy = threading.Lock(), False

    def add(self, item: T) -> None:
        """Returns once the item is written. Raises what writing the lot that it was in raised."""
        entry = _Entry(item)
        with self._lock:
            self._waiting.append(entry)
            first, self._busy = not self._busy, True
        if not first:
            self._wait(entry)
        if not entry.done:
            self._write_all()
        if entry.error is not None:
            raise entry.error

    def _wait(self, entry: _Entry[T]) -> None:
        """Until it is written, or to be written by this thread. Who is interrupted meanwhile, as by
        Ctrl-C, leaves the line: its item too, unless somebody writes it already.
        """
        try:
            entry.told.wait()
        except BaseException:
            with self._lock:
                self._waiting = [each for each in self._waiting if each is not entry]
                leads = entry.told.is_set() and not entry.done
            if leads:
                self._hand_on()
            raise

    def _write_all(self) -> None:
        """Write what waits, then leave the next lot to its first thread, and only then wake those
        of this one: each of them needs the interpreter for itself.
        """
        lot: list[_Entry[T]] = []
        error = self._error_of(lot)
        lot = lot or self._take()  # it failed before it asked
        self._hand_on()
        for entry in lot:
            entry.done, entry.error = True, error
            entry.told.set()

    def _error_of(self, lot: list[_Entry[T]]) -> BaseException | None:
        """Write; fills `lot` with whose items were asked for. Returns whatever went wrong, Ctrl-C
        included: the others wait, and must hear of it.
        """

        def items() -> list[T]:
            lot.extend(self._take())
            return [entry.item for entry in lot]

        try:
            self._write(items)
        except BaseException as error:
            return error
        return None

    def _take(self) -> list[_Entry[T]]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def _hand_on(self) -> None:
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].told.set()
