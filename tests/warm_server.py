"""python -m tests.warm_server SOCKET MODULE...: imports the modules, then forks who is asked for
(`tests/warm_start.py`).
"""

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

LENGTH = struct.Struct("<I")
STATUS = struct.Struct("<i")
MOST_FILES = 16
APART = 512
"""Files are put at this number and above before they get those that they had."""


def exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = line.recv(count - len(data))
        if not piece:
            raise OSError("the warm server is gone")
        data += piece
    return data


class Server:
    """Forks for each request, and tells who asked how each process ended. Ends when its standard
    input does.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.lines = listener, {}
        self.noticed, self.notice = os.pipe()
        os.set_blocking(self.notice, False)

    def serve(self) -> dict[str, Any]:
        """Returns in each new process, with what it shall become."""
        signal.set_wakeup_fd(self.notice, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self.listener, self.noticed, 0], [], [])
            if 0 in ready:
                os._exit(0)
            if self.noticed in ready:
                os.read(self.noticed, 4096)
                self._reap()
            if self.listener in ready and (request := self._answer()):
                return request

    def _answer(self) -> dict[str, Any] | None:
        line, _ = self.listener.accept()
        size, files, _, _ = socket.recv_fds(line, LENGTH.size, MOST_FILES)
        request = json.loads(exactly(line, LENGTH.unpack(size)[0]))
        ready, set_up = os.pipe()
        if pid := os.fork():
            os.close(set_up)
            os.read(ready, 1)  # until the process stands apart and has closed its end
            os.close(ready)
            self.lines[pid] = line
            line.sendall(STATUS.pack(pid))
            for each in files:
                os.close(each)
            return None
        stand_apart(request)
        os.close(ready)
        os.close(set_up)
        self._leave(line, files, [0, 1, 2, *request["kept"]])
        return request

    def _leave(self, line: socket.socket, files: list[int], numbers: list[int]) -> None:
        """In the new process: nothing of the server's stays, and its files are its own, by the
        numbers that they had.
        """
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self.listener, line, *self.lines.values()):
            each.close()
        for each in (self.noticed, self.notice):
            os.close(each)
        apart = [fcntl.fcntl(given, fcntl.F_DUPFD, APART) for given in files]
        for given in files:
            os.close(given)
        for number, given in zip(numbers, apart, strict=True):
            os.dup2(given, number)
            os.close(given)

    def _reap(self) -> None:
        while self.lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self.lines.pop(pid) as line, suppress(OSError):  # who asked may be gone
                line.sendall(STATUS.pack(status))


def stand_apart(request: dict[str, Any]) -> None:
    """Session and process group, as who asked wants them."""
    if request["session"]:
        os.setsid()
    if request["group"] != -1:
        os.setpgid(0, request["group"])


def parent_of(process: int, asker: int) -> Callable[[], int]:
    """`os.getppid` as it would be if the asker had forked the process: 1 once the asker is gone."""
    kernel = os.getppid
    try:
        line = os.pidfd_open(asker)
    except ProcessLookupError:
        return lambda: 1
    ended = select.poll()
    ended.register(line, select.POLLIN)

    def getppid() -> int:
        if os.getpid() != process:
            return kernel()
        return 1 if ended.poll(0) else asker

    return getppid


def become(request: dict[str, Any]) -> None:
    """Run the module as `python -m` does, or the script. What it starts in turn comes from the same
    servers.
    """
    from tests.warm_start import PIDS, install

    install(request["servers"])
    os.getppid = parent_of(os.getpid(), request["parent"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    module, *arguments = request["argv"]
    sys.argv = [module, *arguments]
    if folder := os.environ.get(PIDS):
        told = Path(folder) / f".{os.getpid()}"
        told.write_text(" ".join(request["argv"]))
        told.replace(Path(folder) / str(os.getpid()))
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, and serve."""
    given = int(sys.argv[1])  # perhaps above those that `select` knows
    listener = socket.socket(fileno=os.dup(given))
    os.close(given)
    importlib.import_module("tests.warm_start").install()  # before a library takes its own Popen
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no fork touches, and copies, what all of them share
    become(Server(listener).serve())


if __name__ == "__main__":
    main()
