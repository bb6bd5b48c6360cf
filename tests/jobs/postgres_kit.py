"""A PostgreSQL server of a test's own, on a Unix socket."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest


class PostgresServer:
    """Lies in `folder`. Skips the test where PostgreSQL is not installed; under CI it fails."""

    def __init__(self, folder):
        programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
        if programs is None:
            if os.environ.get("CI"):
                pytest.fail("CI installs PostgreSQL; it is not here")
            pytest.skip("PostgreSQL is not installed")
        self.programs, self.folder, self.user = programs, folder, _owner(folder)
        self.url = f"postgresql+psycopg://newsreel@/postgres?host={folder}"
        self._run("initdb", "-A", "trust", "-U", "newsreel", "--no-sync")

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self):
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, name, *arguments):
        command = [str(self.programs / name), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=60, **self.user)


def _owner(folder):
    """Arguments for subprocess: PostgreSQL refuses root, so its own user owns the folder then."""
    if os.geteuid():
        return {}
    entry = pwd.getpwnam("postgres")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for parent in folder.parents:
        if parent.owner() == "root" and parent.is_relative_to("/tmp/pytest-of-root"):
            parent.chmod(0o755)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "cwd": "/"}
