"""How a process that computes together with others ends: it leaves the group, and skips the
interpreter's own end.

The group's threads (Gloo's, NCCL's) are C++ and outlive it: autograd keeps a reference to the group
as long as a parameter lives. Such a thread drops the tensors of its last collective when it comes
to it, and takes the interpreter lock for that. Python ends a thread that asks for the lock while
the interpreter is being finalised, by unwinding its stack; there it meets a C++ destructor, and the
process dies of SIGABRT: "terminate called without an active exception". The run had written
everything, and the launcher called it failed. Python's multiprocessing ends its forked children the
same way.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn


@contextmanager
def leaving_the_group() -> Iterator[None]:
    """Whatever way leads out of the body (end, error, interrupt): leave the process group, then end
    the process.

    What the body opened is closed by then, for it is outermost. Without a group nothing is
    different from without this context. The exit code is the one that Python would have given: 0,
    that of SystemExit, 1 with a traceback.
    """
    try:
        yield
    except BaseException as error:
        if not _in_group():
            raise
        _end(_exit_code_of(error))
    if _in_group():
        _end(0)


def _in_group() -> bool:
    """Whether this process joined others; torch is looked at only where it is loaded."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _exit_code_of(error: BaseException) -> int:
    """Say what Python would have said; returns the exit code."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _end(code: int) -> NoReturn:
    """Leave the group, run what waits for the end (logs, data workers), and end without finalising
    Python.
    """
    try:
        sys.modules["torch.distributed"].destroy_process_group()
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # nobody reads any more
                stream.flush()
        os._exit(code)
