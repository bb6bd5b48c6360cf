"""Which tests start something is heard, in a process of its own: audit hooks stay for ever."""

import subprocess
import sys

import pytest

from tests.everywhere import ROOT

HEARD = """
import multiprocessing, os, pathlib, socket, subprocess, sys, threading
from tests.starting import Recorder

heard = Recorder(pathlib.Path())
{}
print(heard.count)
"""
WAYS = {
    "program": "subprocess.run([sys.executable, '-S', '-c', ''])",
    "fork": "os.fork() or os._exit(0)",
    "server": "socket.socket().bind(('127.0.0.1', 0))",
    "spawn": "multiprocessing.get_context('spawn').Process(target=os.getpid).start()",
}


@pytest.mark.parametrize(
    ("code", "is_heard"),
    [*((code, True) for code in WAYS.values()), ("threading.Thread(target=int).start()", False)],
    ids=[*WAYS, "thread of a test"],
)
def test_what_is_started_is_heard(code, is_heard):
    said = subprocess.run(
        [sys.executable, "-c", HEARD.format(code)], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert (int(said.stdout) > 0) == is_heard, said.stderr
