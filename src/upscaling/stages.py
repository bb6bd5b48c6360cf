"""Three stages that work at the same time: what one makes, the next takes from a short queue.

No put and no get waits for ever: each looks now and then whether another stage has failed or the
run was cancelled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")
WAIT = 0.1
_END = object()


class Stopped(Exception):
    """Another stage has failed; this one has nothing more to do."""


class Pipe(Generic[T]):
    """A queue of at most `depth` items between two stages."""

    def __init__(self, depth: int, stop: threading.Event) -> None:
        self._queue: queue.Queue = queue.Queue(depth)
        self._stop = stop

    def put(self, item: T) -> None:
        """Wait for room. Raises Stopped once the run is over."""
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=WAIT)
            except queue.Full:
                continue
        raise Stopped

    def close(self) -> None:
        """No more items come."""
        self.put(_END)

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=WAIT)
            except queue.Empty:
                continue
            if item is _END:
                return
            yield item
        raise Stopped


def run_stages(
    source: Iterable[T],
    work: Callable[[T], Iterator[U]],
    sink: Callable[[Iterator[U]], None],
    depth: tuple[int, int],
) -> None:
    """source in one thread, `work` in this one, `sink` in a third; depth: items in the two queues.

    The first error of any stage stops all of them and is raised here, after they have ended.
    """
    stop, errors = threading.Event(), []
    taken, made = Pipe(depth[0], stop), Pipe(depth[1], stop)
    reader = threading.Thread(
        target=_guarded(lambda: _pump(source, taken), stop, errors), name="decode"
    )
    writer = threading.Thread(
        target=_guarded(lambda: sink(iter(made)), stop, errors), name="encode"
    )
    reader.start()
    writer.start()
    _guarded(lambda: _work(taken, work, made), stop, errors)()
    for thread in (reader, writer):
        # an interruption while waiting stops the thread that is waited for
        _guarded(thread.join, stop, errors)()
        thread.join()
    if errors:
        raise errors[0]


def _pump(source: Iterable[T], pipe: Pipe[T]) -> None:
    for item in source:
        pipe.put(item)
    pipe.close()


def _work(taken: Pipe[T], work: Callable[[T], Iterator[U]], made: Pipe[U]) -> None:
    for item in taken:
        for result in work(item):
            made.put(result)
    made.close()


def _guarded(
    body: Callable[[], None], stop: threading.Event, errors: list[BaseException]
) -> Callable[[], None]:
    """The body, so that its error is kept and the others are told to stop."""

    def run() -> None:
        try:
            body()
        except Stopped:
            pass
        # an interruption too must stop the other stages; run_stages raises it again
        except BaseException as error:
            errors.append(error)
            stop.set()

    return run
