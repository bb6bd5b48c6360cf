"""What a run costs: wall time by stage, peak memory of the process and of the GPU."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from src.core.result import Costs

T = TypeVar("T")
STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class Stopwatch:
    """Seconds by stage; stages may alternate, as decoding and encoding do when frames stream.

    A stage inside another one is not counted twice: what it takes is its own, and not the outer
    one's.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]
        reset_peaks()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - self._inner.pop()
            self._inner[-1] += elapsed

    def add(self, name: str, seconds: float) -> None:
        """Count what was computed elsewhere for this run."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def drain(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Pass `items` on, counting the time spent waiting for them as stage `name`."""
        while True:
            with self.stage(name):
                item = next(items, None)
            if item is None:
                return
            yield item

    def costs(self) -> Costs:
        seconds = {name: round(value, 4) for name, value in self.seconds.items()}
        return Costs(seconds=seconds, peak_rss=peak_rss(), peak_vram=peak_vram())


def reset_peaks() -> None:
    """Begin a new peak, where the system lets us;
    elsewhere the peak is that of the whole process.
    """
    if sys.platform == "linux":
        try:
            RESET.write_text("5", encoding="utf-8")
        except OSError:
            from loguru import logger

            logger.debug("peak memory cannot be reset here: peak_rss is that of the whole process")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_rss() -> int:
    """Peak resident bytes since `reset_peaks` (Linux), else since the start of the process."""
    lines = STATUS.read_text(encoding="utf-8").splitlines() if STATUS.is_file() else []
    marks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    if marks:  # some sandboxes have the file without this line
        return marks[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_vram() -> int:
    """Peak bytes of the GPU that tensors took, 0 without one."""
    torch = sys.modules.get("torch")
    return (
        torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else 0
    )
