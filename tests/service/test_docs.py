"""docs/api/README.md is true: its examples run, and it names the routes, statuses and roles that
there are.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from src.accounts.accounts import Accounts
from src.accounts.rights import Right, Role
from src.api.app import create_app
from src.api.settings import ServiceSettings
from src.core.paths import REPOSITORY
from src.database.database import Database
from tests.trust.kit import need_packages

PAGE = REPOSITORY / "docs" / "api" / "README.md"
PHOTOGRAPH = REPOSITORY / "data" / "samples" / "sample_image_1.png"
VIDEO = REPOSITORY / "outputs" / "examples" / "baseline_cityhall.mp4"
SECTION = re.compile(r"^### `([A-Z]+) (/\S*)`$", re.M)
NEEDS = re.compile(r"Needs:\s+(nothing|`(\w+)`)")


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def _sections():
    """Text of each endpoint's section by (method, path)."""
    parts = SECTION.split(PAGE.read_text("utf-8"))[1:]
    return {
        (method, path): text
        for method, path, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def _statuses(text):
    """Numbers in the first column of the table of statuses; 206 is a form of 200 that OpenAPI does
    not list.
    """
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", text, re.M)
    return {status for row in rows for status in row.split(", ")}


@pytest.fixture
def app(tmp_path):
    made = create_app(ServiceSettings(database=f"sqlite:///{tmp_path / 'jobs.db'}", workers=0))
    yield made
    made.state.service.database.engine.dispose()


def test_each_endpoint_has_its_section_with_examples_and_statuses(app):
    routes = {(method.upper(), path): operation for path,
              operations in app.openapi()["paths"].items()
              for method, operation in operations.items()}  # fmt: skip
    sections = _sections()
    assert set(sections) == set(routes)
    for route, text in sections.items():
        assert _blocks(text, "sh"), route
        assert _blocks(text, "python"), route
        assert _statuses(text) == set(routes[route]["responses"]), route


def test_rights_are_the_ones_that_it_names(app):
    """Each endpoint answers a key that has but the right it names, and no key that lacks it."""
    client, accounts = TestClient(app), app.state.service.accounts

    def head(*rights):
        secret, _ = accounts.create("k", Role.READ, person="Anna")
        account = accounts.find(secret)
        accounts.grant(account.id, rights, "Anna")
        return {"X-API-Key": secret}

    only = {right: head(right) for right in Right}
    without = {right: head(*(set(Right) - {right})) for right in Right}
    for (method, path), text in _sections().items():
        needed = Right(NEEDS.search(text)[2]) if NEEDS.search(text)[2] else None
        asked = path + ("?seconds=0" if path == "/jobs/events" else "")
        url = re.sub(r"\{filename\}", "x.mp4", re.sub(r"\{\w+_id\}", "0" * 21, asked))
        if needed:
            assert client.request(method, url).status_code == 401, (method, path)
            refused = client.request(method, url, headers=without[needed]).status_code
            assert refused == 403, (method, path)
        allowed = client.request(method, url, headers=only[needed] if needed else {}).status_code
        assert allowed not in (401, 403), (method, path, needed)


def _run(command, code, service, keys, folder):
    named = dict(zip(("NEWSREEL_KEY", "NEWSREEL_APPROVER"), keys, strict=True))
    variables = os.environ | {"NEWSREEL_URL": service.url} | named
    done = subprocess.run(
        [*command, code], cwd=folder, env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed"
)
@pytest.mark.slow
def test_the_examples_run_in_order(running, home, tmp_path):
    need_packages()
    service = running(
        NEWSREEL_AUTH="on", NEWSREEL_FAKE_SECONDS="1.2", NEWSREEL_SMTP="smtp://127.0.0.1",
        NEWSREEL_MAIL_FROM="newsreel@example.org", NEWSREEL_APPROVAL="on",
    ).start()  # fmt: skip
    service.ready("/ready")
    accounts = Accounts(Database(f"sqlite:///{home / 'newsreel.db'}"))
    secret, _ = accounts.create("docs", Role.ADMIN, 1000, 1000, rights=[Right.RELEASE])
    other, _ = accounts.create("chief", Role.READ, rights=[Right.APPROVE], person="Anna Berg")
    keys = (secret, other)
    text, folder = PAGE.read_text("utf-8"), tmp_path / "desk"
    folder.mkdir()
    shutil.copy(PHOTOGRAPH, folder / "photo.jpg")
    shutil.copy(VIDEO, folder / "video.mp4")
    shell = _run(
        ["bash", "-euo", "pipefail", "-c"], "".join(_blocks(text, "sh")), service, keys, folder
    )
    assert "event: preview" in shell
    assert "event: end" in shell
    assert (folder / "clip.mp4").read_text("utf-8").startswith("clip of ")
    assert (folder / "beginning.bin").stat().st_size == 16
    for name in ("clip.mp4", "preview.jpg", "larger.mp4"):
        (folder / name).unlink()
    python = _run([sys.executable, "-c"], "".join(_blocks(text, "python")), service, keys, folder)
    assert "newsreel_jobs_finished_total" in python
    assert (folder / "preview.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (folder / "larger.mp4").is_file()
    loaded = Path(f"/proc/{service.process.pid}/maps")
    # after every endpoint was used
    assert not loaded.exists() or "torch" not in loaded.read_text(encoding="utf-8")
