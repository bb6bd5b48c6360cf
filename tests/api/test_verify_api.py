"""POST /verify: an answer to whatever is sent, within the limits of other uploads, kept nowhere."""

import random

import pytest

from src.accounts.rights import Role
from src.api import verify
from src.core.paths import home
from src.trust.settings import ANCHORS
from tests.trust.kit import broken, flipped, need_packages, signed

FUZZED = 500


@pytest.fixture(autouse=True)
def _packages():
    need_packages()


@pytest.fixture(scope="session")
def plain(tmp_path_factory, ffmpeg):
    path = tmp_path_factory.mktemp("plain") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=8:duration=1", path)
    return path


@pytest.fixture
def data(plain, photograph, tmp_path):
    """A signed clip; its root is the home's own."""
    return signed(plain, tmp_path / "signed.mp4", photograph).read_bytes()


def ask(client, data, **fields):
    return client.post("/verify", files={"file": ("a.mp4", data)}, **fields)


def stored():
    return [path for path in home().rglob("*") if path.is_file() and "signing" not in path.parts]


def test_what_is_found_is_told(make_client, data, plain):
    client = make_client(work=False, auth="off")
    before = stored()
    whole, changed = ask(client, data), ask(client, flipped(data, len(data) - 40))
    assert whole.status_code == changed.status_code == 200, whole.text
    assert whole.json()["layers"]["c2pa"]["state"] == "trusted" and not whole.json()["changed"]
    assert changed.json()["changed"] and "Changed after" in changed.json()["sentence"]
    assert ask(client, plain.read_bytes()).json()["layers"]["c2pa"]["found"] is False
    assert stored() == before, "kept nowhere"


def test_every_role_may_ask_and_nobody_else(keys, data):
    client, heads = keys
    assert ask(client, data).status_code == 401
    assert ask(client, data, headers=heads[Role.READ]).status_code == 200


def test_a_key_has_so_many_a_minute(make_client, data):
    client = make_client(work=False, auth="off", per_minute=3)
    answers = [ask(client, data) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Retry-After"] == "20"


def test_too_large_is_refused(make_client, data):
    client = make_client(work=False, auth="off", max_upload=10_000)
    assert ask(client, data + bytes(10_000)).status_code == 413


def test_what_the_operator_lacks_is_no_fault_of_the_client(make_client, data, monkeypatch):
    client = make_client(work=False, auth="off")
    monkeypatch.setenv(ANCHORS, "/none.pem")
    assert ask(client, data).status_code == 503
    monkeypatch.delenv(ANCHORS)
    monkeypatch.setattr(verify, "is_here", lambda: False)
    answer = ask(client, data)
    assert answer.status_code == 503 and "requirements-trust.txt" in answer.json()["detail"]


@pytest.mark.slow
def test_five_hundred_broken_uploads_get_an_answer(make_client, data):
    client, chance = make_client(work=False, auth="off"), random.Random(6)
    codes = {ask(client, broken(data, chance)).status_code for _ in range(FUZZED)}
    assert codes <= {200, 422} and 200 in codes
    assert client.get("/health").status_code == 200
