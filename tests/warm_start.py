"""Python processes that begin where their imports end: a command of `sys.executable` is forked from
a server that has imported what it needs.

`install` puts `WarmPopen` in `subprocess.Popen`'s place. Each process is one of its own, as before:
its environment, folder, files, signals and exit code are its own, and `os.getppid` names who asked
for it; only that its imports are done, and that the kernel has the server as its parent, differs.
What stands in no row of `IMPORTS` is not forked. NEWSREEL_TEST_COLD=1 starts all anew.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.worker.wall import _environment as wall_environment
from tests.warm_server import LENGTH, STATUS, exactly

ROOT = Path(__file__).parents[1]
COLD = "NEWSREEL_TEST_COLD"
WALL = "src.worker.wall_child"
SERVICE = (
    "src.api.app", "uvicorn.main", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on",
    "alembic.command", "alembic.runtime.environment", "src.engine.admission", "tests.warm_routes",
)  # fmt: skip
TRAINER = "src/train_lora.py"
ENGINE = (
    "torch", "diffusers.models", "diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video",
    "transformers.models.t5.modeling_t5", "src.cli.inference", "src.engine.generate",
    "src.engine.session", "src.pipelines.cogvideox.family", "src.upscaling.stream",
    "accelerate.commands.launch", "torch.distributed.run", "src.cli.train_lora",
    "src.recipes.lora.preflight", "src.recipes.lora.run", "src.upscaling.registry",
    "src.upscaling.star.backend", "src.upscaling.dove.backend", "src.upscaling.sdxl.refining",
)  # fmt: skip
FAKE_WORKER = "src.worker --maker fake"
WORKER = (
    "src.worker.command", "src.worker.loop", "src.worker.make_runner", "src.worker.patience",
    "src.artifacts.registry", "src.database.database", "src.jobs.leases",
    "sqlalchemy.dialects.sqlite",
)  # fmt: skip
IMPORTS: dict[str, tuple[str, ...]] = {
    "uvicorn": SERVICE,
    WALL: ("src.media.images", "src.media.small", "src.media.videos"),
    "src.worker": WORKER + ENGINE,
    FAKE_WORKER: WORKER,
    "src.engine.member": ENGINE,
    "src.optimized_inference": ENGINE,
    "src.baseline_inference": ENGINE,
    "src.batch_processor": ENGINE,
    "src.upscale_video": ENGINE,
    "accelerate.commands.launch": ENGINE,
    TRAINER: ENGINE,
    "tests.upscaling.killed": ENGINE,
}
"""By the module or script that is run: what its server imports."""
PIDS = "NEWSREEL_TEST_PIDS"
"""A folder: each process that is forked leaves a file there, its id the name and its command the
text, for whoever starts it is not its parent, and its command line is the server's.
"""
AT_IMPORT = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH",
             "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENCV_CPU_DISABLE", "OPENCV_IPP",
             "NUMBA_CPU_NAME", "LC_ALL", "PYTHONUTF8")  # fmt: skip
"""Variables that libraries read while they are imported: each setting has a server of its own."""


AT_FIRST = dict(os.environ)
"""What a server imports under, whichever test asks first."""
COLD_POPEN = subprocess.Popen
_servers: dict[str, str] = {}
"""Where each listens, by what it has imported under which variables."""
_started: list[tuple[subprocess.Popen, tempfile.TemporaryDirectory]] = []
"""They end with the process that started them."""
_starting = threading.Lock()


def server_of(row: str, environment: Mapping[str, str]) -> str:
    """Where the server of a row of `IMPORTS` listens; started when it is first asked for."""
    variables = {name: environment[name] for name in AT_IMPORT if name in environment}
    key = json.dumps([IMPORTS[row], variables], sort_keys=True)
    with _starting:
        if key not in _servers:
            _servers[key] = _start(IMPORTS[row], variables)
        return _servers[key]


def _start(imports: Sequence[str], variables: Mapping[str, str]) -> str:
    """One warm process, which forks on request."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    path = str(Path(folder.name) / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        kept = {name: value for name, value in AT_FIRST.items() if name not in AT_IMPORT}
        command = [sys.executable, "-m", "tests.warm_server", str(listener.fileno()), *imports]
        process = COLD_POPEN(command, stdin=subprocess.PIPE, env=kept | dict(variables), cwd=ROOT,
                             pass_fds=(listener.fileno(),), start_new_session=True)  # fmt: skip
    _started.append((process, folder))
    return path


def ask(request: dict[str, Any], files: list[int]) -> socket.socket:
    """The line on which pid and exit status come. What a service will start comes from servers that
    outlive it.
    """
    row, line = row_of(request["argv"]), socket.socket(socket.AF_UNIX)
    line.connect(server_of(row, request["env"]))
    if row == "uvicorn":
        server_of(WALL, wall_environment(request["env"]))
        if request["env"].get("NEWSREEL_WORKERS") != "0":
            server_of(row_of(worker_command(request["env"])), request["env"])
    words = json.dumps(request | {"servers": _servers}).encode()
    socket.send_fds(line, [LENGTH.pack(len(words))], files)
    line.sendall(words)
    return line


class WarmPopen(subprocess.Popen):
    """As `subprocess.Popen`; a command that a warm server knows is forked from it."""

    _line: socket.socket | None = None

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        _, _, shell, *pipes = rest[:9]
        if shell or preexec_fn or not is_warm(args):
            given = (args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            super()._execute_child(*given)
            return
        sys.audit("subprocess.Popen", executable, args, cwd, env)
        stdin, stdin_other, stdout_other, stdout, stderr_other, stderr = pipes
        environment = dict(os.environ if env is None else env)
        request = {"argv": what_runs(args), "env": environment, "parent": os.getpid(),
                   "cwd": os.fspath(cwd or Path.cwd()), "session": rest[-2], "group": rest[-1],
                   "kept": list(pass_fds)}  # fmt: skip
        files = [given if given >= 0 else usual
                 for usual, given in enumerate((stdin, stdout, stderr))]  # fmt: skip
        self._line = ask(request, [*files, *pass_fds])
        (self.pid,) = STATUS.unpack(exactly(self._line, STATUS.size))
        self._child_created = True
        self._close_ours((stdin, stdin_other), (stdout, stdout_other), (stderr, stderr_other))

    def _close_ours(self, *pairs):
        """The child's ends of pipes, and the null device; other files are the caller's."""
        null = getattr(self, "_devnull", None)
        ends = {end for end, other in pairs if -1 not in (end, other)} - {null}
        for each in ends | ({null} - {None}):
            os.close(each)
        self._closed_child_pipe_fds = True

    def _try_wait(self, wait_flags):
        if self._line is None:
            return super()._try_wait(wait_flags)
        if self._line.fileno() < 0:  # closed with this object, which is waited for nevertheless
            return self.pid, 0
        told = select.poll()
        told.register(self._line, select.POLLIN)
        if not told.poll(0 if wait_flags else None):
            return 0, 0
        (status,) = STATUS.unpack(exactly(self._line, STATUS.size))
        self._line.close()
        return self.pid, status

    def _internal_poll(self, *given, **named):
        if self._line is None:
            return super()._internal_poll(*given, **named)
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def what_runs(args: Any) -> list[str]:
    """The module or the script, and its arguments; nothing where no Python runs."""
    if not isinstance(args, (list, tuple)) or len(args) < 2 or args[0] != sys.executable:
        return []
    return [os.fsdecode(word) for word in args[2 if args[1] in ("-m", "-u") else 1 :]]


def row_of(words: Sequence[str]) -> str:
    """The row of `IMPORTS` of a module or script with its arguments."""
    fake = words[0] == "src.worker" and "fake" in words
    return FAKE_WORKER if fake else words[0]


def worker_command(environment: Mapping[str, str]) -> list[str]:
    """As a service with these variables starts its workers."""
    return ["src.worker", "--maker", environment.get("NEWSREEL_MAKER", "engine")]


def is_warm(args: Any) -> bool:
    """Whether a warm server may run this command."""
    words = what_runs(args)
    return bool(words) and words[0] in IMPORTS and not os.environ.get(COLD)


def install(servers: Mapping[str, str] | None = None) -> None:
    """From now on, in this process. servers: those that it may use already."""
    _servers.update(servers or {})
    subprocess.Popen = WarmPopen  # type: ignore[misc]
