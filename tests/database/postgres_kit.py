"""A PostgreSQL server of a test's own, on a Unix socket, in a folder that no other suite closes."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from src.database.database import Database

NEWEST, COPY = "newest", "copy"
LONGEST_SOCKET = 107 - len("/.s.PGSQL.5432")  # what a Unix socket's address may have
END = 'read -r _; "$0" -D "$1/data" -m immediate -w stop; rm -r "$1/data"'
"""A shell's work once it reads a line, or that there is none: the suite's process was killed."""


@contextmanager
def postgres_server(address: str = "") -> Iterator["PostgresServer"]:
    """A started server; it and its folder are gone afterwards, whatever happened. address: of this
    machine, on which it listens too; everybody who reaches it may use the server.
    """
    programs, account = _programs(), _account()
    folder = _folder(account)
    command, quiet = ["sh", "-c", END, str(programs / "pg_ctl"), str(folder)], subprocess.DEVNULL
    pipes = {"stdin": subprocess.PIPE, "stdout": quiet, "stderr": quiet, "cwd": "/"}
    ender = subprocess.Popen(command, start_new_session=True, **pipes, **_rights(account))
    try:
        made = PostgresServer(programs, folder, account, address)
        made.start()
        yield made
    finally:
        ender.communicate(b"\n")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server of our own."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def newest(postgres: str) -> str:
    """The URL of a server of our own that holds a database of the newest form, to be copied: its
    migrations take longer than many a test.
    """
    _say(postgres, f"CREATE DATABASE {NEWEST}")
    with _opened(postgres, NEWEST) as made:
        made.migrate()
    return postgres


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["Database"]:
    """A database without tables, of each kind."""
    with _of_kind(request, tmp_path, "postgres", "template0") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["Database"]:
    """One of the newest form, of each kind."""
    with _of_kind(request, tmp_path, "newest", NEWEST) as made:
        made.migrate()
        yield made


@pytest.fixture
def postgres_database(newest: str) -> Iterator["Database"]:
    """PostgreSQL alone, of the newest form."""
    with _copied(newest, NEWEST) as made:
        yield made


@contextmanager
def _of_kind(
    request: pytest.FixtureRequest, folder: Path, server: str, template: str
) -> Iterator["Database"]:
    if request.param == "sqlite":
        opened = _opened(f"sqlite:///{folder / 'jobs.db'}")
    else:
        opened = _copied(request.getfixturevalue(server), template)
    with opened as made:
        yield made


@contextmanager
def _copied(url: str, template: str) -> Iterator["Database"]:
    """A database that was copied from another one of the server; the next copy takes its place."""
    _say(url, f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)",
         f"CREATE DATABASE {COPY} TEMPLATE {template}")  # fmt: skip
    with _opened(url, COPY) as made:
        yield made


def _say(url: str, *statements: str) -> None:
    """What no transaction may hold."""
    with _opened(url) as made, made.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            alone.exec_driver_sql(statement)


@contextmanager
def _opened(url: str, name: str | None = None) -> Iterator["Database"]:
    """name: of a database of the server; None is the URL's own."""
    from src.database.database import Database

    made = Database(url.replace("/postgres?", f"/{name}?") if name else url)
    try:
        yield made
    finally:
        made.engine.dispose()


class PostgresServer:
    """Lies in `folder`, which `account` owns."""

    def __init__(self, programs, folder, account, address=""):
        self.programs, self.folder, self.running = programs, folder, False
        self.address = address
        self.user = _rights(account)
        self.url = f"postgresql+psycopg://newsreel@/postgres?host={folder}"
        self._run(
            "initdb", "-A", "trust", "-U", "newsreel", "--no-sync", "-E", "UTF8", "--locale", "C"
        )
        if address:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 trust\n")

    def start(self):
        options = f"-c listen_addresses='{self.address}' -c fsync=off"
        options += f" -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")
        self.running = True

    def stop(self):
        """Nothing where it is stopped already."""
        if self.running:
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")
            self.running = False

    def _run(self, name, *arguments):
        command = [str(self.programs / name), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            cwd="/",
            **self.user,
        )
        log = self.folder / "log"
        said = log.read_text("utf-8")[-2000:] if done.returncode and log.is_file() else ""
        assert done.returncode == 0, f"{name}: {done.stderr.decode(errors='replace')}{said}"


def _programs():
    """The newest PostgreSQL's programs. Skips the test where there is none; under CI it fails."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    if found:
        return found[-1]
    if os.environ.get("CI"):
        pytest.fail("CI installs PostgreSQL; it is not here")
    return pytest.skip("PostgreSQL is not installed")


def _account():
    """PostgreSQL refuses root: its own account then. None: we are not root, and run it as
    ourselves.
    """
    return None if os.geteuid() else pwd.getpwnam("postgres")


def _rights(account):
    """Those that a process has as the account."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _folder(account):
    """A new folder, not pytest's own: each suite that starts takes everybody's rights off the
    folder above that.
    """
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        folder = Path(tempfile.mkdtemp(prefix="newsreel-pg-", dir=place))
        if len(str(folder)) <= LONGEST_SOCKET and _reaches(account, folder):
            return folder
        folder.rmdir()
    return pytest.skip(
        f"PostgreSQL's account cannot enter {tempfile.gettempdir()} or /tmp, or their names are "
        "too long"
    )


def _reaches(account, folder):
    """Whether the account, to which the folder now belongs, can write there."""
    if account is None:
        return True
    os.chown(folder, account.pw_uid, account.pw_gid)
    command = ["test", "-w", str(folder)]
    return subprocess.run(command, cwd="/", **_rights(account)).returncode == 0
