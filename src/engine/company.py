"""The processes that make a clip together with this one, which started them and leads.

Each runs `src.engine.member` on a device of its own, reads what to do from its standard input and
tells by its standard output that it is ready, or why it failed. It ends when that input ends, so
that none outlives its leader, however that ended. A thread here waits for each one's output to end:
a process that is gone takes the others with it, and the clip ends with one sentence.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src.core.devices import core_count
from src.core.errors import LostProcessError
from src.core.paths import REPOSITORY
from src.core.plan import Plan, SessionKey
from src.engine.meeting import MeetingPlace
from src.pipelines.adapter_files import AdapterFile

if TYPE_CHECKING:
    from src.pipelines.parallel.ranks import Ranks

MODULE = "src.engine.member"
COMMAND = (sys.executable, "-m", MODULE)
AGAIN = "run it again, with a smaller --gpus if that goes on"
SECONDS_TO_NOTICE = 15.0
SECONDS_TO_END = 30.0


@dataclass(frozen=True)
class Beginning:
    """What a process is told first: what to load, and where the group meets.

    threads: of a CPU's cores, its share. limit_s: that it waits for the others.
    """

    rank: int
    key: SessionKey
    folder: Path
    place: str
    threads: int
    limit_s: float


@dataclass(frozen=True)
class ClipTask:
    """One clip: plan, photograph at native size, adapters."""

    plan: Plan
    pixels: np.ndarray
    adapters: tuple[AdapterFile, ...]


@dataclass(frozen=True)
class MemberFailure:
    """Why a process could not go on. memory: its device's ran out."""

    sentence: str
    memory: bool


class Member:
    """One of the other processes, as its leader sees it. failure: what it told before it ended."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.failure: MemberFailure | None = None
        self.process = subprocess.Popen(
            COMMAND,
            cwd=REPOSITORY,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # what a terminal sends to all is the leader's alone
        )

    def tell(self, message: Any) -> None:
        """Raises OSError where it is gone."""
        assert self.process.stdin is not None
        pickle.dump(message, self.process.stdin)
        self.process.stdin.flush()

    def listen(self, ready: threading.Event) -> None:
        """Until its output ends."""
        assert self.process.stdout is not None
        while True:
            try:
                message = pickle.load(self.process.stdout)
            except (EOFError, pickle.UnpicklingError):
                return
            if isinstance(message, MemberFailure):
                self.failure = message
            else:
                ready.set()

    def end(self) -> None:
        """Now: what it computes is of no use any more."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS_TO_END)
        with suppress(OSError):  # what was not written yet has no reader
            self.process.stdin.close()

    @property
    def ended(self) -> str:
        """How, as the end of a sentence."""
        code = self.process.wait(SECONDS_TO_END)
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def environment() -> dict[str, str]:
    """Of the other processes. NCCL's watchdog cleans up and leaves the end to us."""
    return os.environ | {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "2"}


class Company:
    """`key.gpus` - 1 processes beside this one. ranks: the group, once `gather` has returned."""

    def __init__(self, key: SessionKey, folder: Path) -> None:
        self.key, self.folder = key, folder.resolve()
        self.ranks: Ranks | None = None
        self.lost: Member | None = None
        self._noticed, self._ending = threading.Event(), False
        self._place = MeetingPlace()
        self._ready = [threading.Event() for _ in range(1, key.gpus)]
        self.members = [Member(rank) for rank in range(1, key.gpus)]
        self._threads = 0
        atexit.register(self.end)
        for member, ready in zip(self.members, self._ready, strict=True):
            threading.Thread(target=self._watch, args=(member, ready), daemon=True).start()

    def _watch(self, member: Member, ready: threading.Event) -> None:
        member.listen(ready)
        if not self._ending and self.lost is None:
            self.lost = member
            self._stop_others(member)
        self._noticed.set()
        ready.set()

    def _stop_others(self, lost: Member) -> None:
        """None of them can go on; on GPUs this process waits in a kernel that has to be aborted."""
        for member in self.members:
            if member is not lost and member.process.poll() is None:
                member.process.kill()
        if self.key.device == "cuda" and self.ranks is not None:
            self.ranks.abort()

    def gather(self, limit_s: float) -> Ranks:
        """Form the group, before anything is loaded: then all load at the same time. Raises
        LostProcessError.
        """
        from src.pipelines.parallel.ranks import join_group

        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
        place = str(self._place.file)
        threads = self._share_cores()
        for member in self.members:
            self._tell(member, Beginning(
                member.rank, self.key, self.folder, place, threads, limit_s
            ))  # fmt: skip
        for ready in self._ready:
            if not ready.wait(limit_s):
                raise LostProcessError(self._silent())
        self._check()
        try:
            self.ranks = join_group(0, self.key.gpus, self.key.device, place, limit_s)
        except Exception as error:
            raise self.reason(error) from error
        return self.ranks

    def _share_cores(self) -> int:
        import torch

        if self.key.device != "cpu":
            return core_count()
        self._threads = torch.get_num_threads()
        share = max(1, self._threads // self.key.gpus)
        torch.set_num_threads(share)
        return share

    def begin(self, task: ClipTask) -> None:
        """Have the others make this clip too. Raises LostProcessError."""
        self._check()
        for member in self.members:
            self._tell(member, task)

    def _tell(self, member: Member, message: Any) -> None:
        try:
            member.tell(message)
        except OSError:
            self._noticed.wait(SECONDS_TO_NOTICE)
            self._check()
            raise

    def _check(self) -> None:
        if self.lost is not None:
            raise self._of_the_lost(self.lost)

    def reason(self, error: BaseException) -> BaseException:
        """What to say of an error in this process: where another one is gone, that.

        One that told why, told what this process found too: a switch that fails here is left out
        as in a single process.
        """
        from src.pipelines.parallel.lost import is_lost_peer

        told = self.lost is None or self.lost.failure is not None
        if not isinstance(error, Exception) or (told and not is_lost_peer(error)):
            return error
        if self.lost is None and is_lost_peer(error):
            self._noticed.wait(SECONDS_TO_NOTICE)
        if self.lost is not None:
            return self._of_the_lost(self.lost)
        return LostProcessError(self._silent()) if is_lost_peer(error) else error

    def _of_the_lost(self, lost: Member) -> Exception:
        which = f"process {lost.rank + 1} of {self.key.gpus}"
        failure = lost.failure
        if failure is not None and failure.memory:
            return MemoryError(f"out of memory in {which}: {failure.sentence}")
        why = f"failed: {failure.sentence}" if failure else f"ended {lost.ended}"
        return LostProcessError(
            f"{which} that make this clip {why}; nothing was written, and the others are ended; "
            f"{AGAIN}"
        )

    def _silent(self) -> str:
        return (
            f"one of the {self.key.gpus} processes that make this clip does not answer; nothing "
            f"was written, and all of them are ended; {AGAIN}"
        )

    def traffic(self) -> str:
        """What the clip that was made took between the processes."""
        steps = self.ranks.steps if self.ranks else []
        most = f"{max(steps, default=0) / 1e6:.1f} MB"
        return f"{self.key.gpus} processes made this clip; this one sent {most} a step at most"

    def end(self) -> None:
        """End the others and leave the group."""
        if self._ending:
            return
        self._ending = True
        atexit.unregister(self.end)
        for member in self.members:
            member.end()
        if self.ranks is not None:
            self.ranks.leave()
        self._place.close()
        if self._threads:
            import torch

            torch.set_num_threads(self._threads)
