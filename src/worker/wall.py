"""A wall around decoders: strangers' files are decoded in a process of limited time and memory,
which may die of them.

The same functions run behind it as elsewhere (`src.worker.wall_child.py`); here is who starts that
process, asks it and ends it.
"""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from src.core import errors
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.media.images import CheckedPhotograph, Photograph, read_bytes
from src.media.press_metadata import PressMetadata
from src.media.videos import VideoFacts
from src.watermark.keys import MarkKey

KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")
PIPE = 1 << 20
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class DecodeLimits:
    """Of one file. cpu_s: seconds of processor time. wall_s: seconds by the clock. memory: bytes of
    address space.
    """

    cpu_s: float = 10.0
    wall_s: float = 20.0
    memory: int = 4 << 30


class _Died(Exception):
    """The process ended, or was ended, before it answered."""


@dataclass
class Wall:
    """Decodes behind the wall; each thread that asks has a process of its own meanwhile, which is
    kept for the next.
    """

    limits: DecodeLimits = field(default_factory=DecodeLimits)
    _idle: list[subprocess.Popen] = field(default_factory=list)
    _started: list[subprocess.Popen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check_photograph(self, data: bytes, name: str) -> CheckedPhotograph:
        """As `src.media.images.check_photograph`;
        BadInputError too where the limits are reached.
        """
        found, _ = self._ask({"what": "check", "name": name}, data)
        press = PressMetadata(**found["press"])
        return CheckedPhotograph(found["sha256"], found["suffix"], press)

    def read_photograph(self, path: Path) -> Photograph:
        """As `src.media.images.read_photograph`."""
        data = read_bytes(Path(path))
        found, pixels = self._ask({"what": "read", "name": str(path)}, data)
        image = np.frombuffer(pixels, np.uint8).reshape(found["shape"])
        warnings, press = tuple(found["warnings"]), PressMetadata(**found["press"])
        return Photograph(image, found["sha256"], data, found["suffix"], warnings, press)

    def small_photograph(self, path: Path) -> bytes:
        """As `src.media.small.small_photograph`, of a file."""
        return self._ask({"what": "small", "name": "the photograph"}, read_bytes(path))[1]

    def small_frame(self, path: Path) -> bytes:
        """As `src.media.small.small_frame`."""
        return self._ask({"what": "frame", "name": "the clip", "path": str(path)})[1]

    def first_frame(self, path: Path) -> bytes:
        """As `src.media.small.first_frame_jpeg`."""
        return self._ask({"what": "first", "name": "the clip", "path": str(path)})[1]

    def contact_sheet(self, path: Path) -> bytes:
        """As `src.media.small.contact_sheet`."""
        return self._ask({"what": "sheet", "name": "the clip", "path": str(path)})[1]

    def check_upscale(self, path: Path, request: Mapping[str, Any]) -> VideoFacts:
        """Whether the video may be enlarged as the request says. Raises what `check_video` or a
        worker would raise.
        """
        question = {"what": "video", "name": "video", "path": str(path), "request": dict(request)}
        return VideoFacts(**self._ask(question)[0])

    def verify(
        self,
        path: Path,
        anchors: str | None,
        keys: Sequence[MarkKey] = (),
        marks: Mapping[str, Sequence[str]] | None = None,
        prints: bool = False,
    ) -> dict[str, Any]:
        """As `src.verification.layers.read_layers`."""
        question = {
            "what": "verify", "name": "the file", "path": str(path), "anchors": anchors,
            "keys": [key.secret.hex() for key in keys], "marks": marks or {}, "prints": prints,
        }  # fmt: skip
        return self._ask(question)[0]

    def start(self, count: int = 1) -> None:
        """Start a process unless there are so many, so that no file waits for one."""
        if sum(child.poll() is None for child in self._started) < count:
            self._give_back(self._start())

    def close(self) -> None:
        """End what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.kill()  # it may still be starting
            _end(child)

    def _ask(self, question: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        child = self._take()
        try:
            until = time.monotonic() + self.limits.wall_s
            _send(child, question | {"size": len(data)}, data, until)
            answer, body = _receive(child, until)
        except (_Died, BrokenPipeError):
            raise BadInputError(f"{question['name']} {self._why(child)}") from None
        except BaseException:
            _end(child)
            raise
        self._give_back(child)
        if "error" in answer:
            raise getattr(errors, answer["class"])(answer["error"])
        return answer, body

    def _why(self, child: subprocess.Popen) -> str:
        """What ended the process, as the end of a sentence about the file."""
        ended = _end(child)
        if ended in (-signal.SIGXCPU, -signal.SIGKILL):
            return (
                f"takes longer than {self.limits.cpu_s:.0f} s to decode; save it again as a plain "
                "file"
            )
        return "cannot be decoded: its decoder broke off; save it again as a plain file"

    def _take(self) -> subprocess.Popen:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        return child if child is not None and child.poll() is None else self._start()

    def _give_back(self, child: subprocess.Popen) -> None:
        with self._lock:
            self._idle.append(child)

    def _start(self) -> subprocess.Popen:
        limits = [f"{self.limits.cpu_s}", f"{self.limits.memory}"]
        command = [sys.executable, "-m", "src.worker.wall_child", *limits]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": REPOSITORY}
        child = subprocess.Popen(
            command, env=_environment(os.environ), start_new_session=True, **pipes
        )
        _set_up(child)
        with self._lock:
            self._started = [each for each in self._started if each.poll() is None] + [child]
        return child


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """None of our secrets: keys and passwords lie in variables too."""
    return {name: variables[name] for name in KEPT if name in variables} | ONE_THREAD


def _set_up(child: subprocess.Popen) -> None:
    """Writes into its pipe do not wait, and a usual photograph fits in, so that neither side waits
    for the other piece by piece.
    """
    os.set_blocking(child.stdin.fileno(), False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # the system allows less
            fcntl.fcntl(child.stdin, fcntl.F_SETPIPE_SZ, PIPE)


def _send(child: subprocess.Popen, question: dict[str, Any], data: bytes, until: float) -> None:
    """A line of JSON, and the bytes; a process that does not take them in time counts as ended."""
    for piece in (json.dumps(question).encode() + b"\n", data):
        rest = memoryview(piece)
        while rest:
            if not _is_ready(child.stdin, select.POLLOUT, until):
                raise _Died
            rest = rest[os.write(child.stdin.fileno(), rest) :]


def _is_ready(pipe: IO[bytes], event: int, until: float) -> bool:
    """Whether the pipe is, before the time. By `poll`: `select` knows no file above number 1023,
    and a service may hold as many connections.
    """
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(1000 * max(0.0, until - time.monotonic())))


def _receive(child: subprocess.Popen, until: float) -> tuple[dict[str, Any], bytes]:
    """One line of JSON, and as many bytes as it says follow it."""
    received = b""
    while b"\n" not in received:
        received += _read(child, until, 1 << 16)
    line, _, rest = received.partition(b"\n")
    answer, parts = json.loads(line), [rest]
    missing = answer.pop("bytes", 0) - len(rest)
    while missing > 0:
        parts.append(_read(child, until, min(missing, 1 << 20)))
        missing -= len(parts[-1])
    return answer, b"".join(parts)


def _read(child: subprocess.Popen, until: float, most: int) -> bytes:
    ready = _is_ready(child.stdout, select.POLLIN, until)
    piece = os.read(child.stdout.fileno(), most) if ready else b""
    if not piece:
        raise _Died
    return piece


def _end(child: subprocess.Popen) -> int | None:
    """Let it end if it is ending, else kill it; returns how it ended."""
    for pipe in (child.stdin, child.stdout):
        with suppress(BrokenPipeError):
            pipe.close()
    try:
        return child.wait(0.5)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
