"""POST /verify: an answer to whatever is sent, within the limits of other uploads, kept nowhere."""

import random

import pytest

from src.accounts.rights import Role
from src.api import verify
from src.api.register import UNSEEN, ServiceRegister
from src.core.paths import home
from src.core.register import Registered
from src.database import mark_rows
from src.jobs.model import NewJob
from src.media.reader import VideoReader
from src.media.writer import VideoWriter
from src.trust.settings import ANCHORS
from src.watermark.embed import embed_mark
from src.watermark.keys import marking_key
from src.watermark.message import id_text
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


def test_a_job_is_found_by_its_mark_though_nothing_of_it_is_left(make_client, tmp_path, ffmpeg):
    """The register of the database tells which job; the picture alone is sent."""
    key, source = marking_key(), tmp_path / "source.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=360x240:rate=8:duration=1", "-vf",
           "noise=alls=60:all_seed=1", source)  # fmt: skip
    frames = [frame.array for frame in VideoReader(source)]
    with VideoWriter(tmp_path / "marked.mp4", 360, 240, 8) as writer:
        for frame in embed_mark(frames, key.secret, 0xABCDEF):
            writer.write(frame)
        writer.commit()
    client = make_client(work=False, auth="off")
    entry = Registered("examples/gone.mp4", "0" * 64, id_text(0xABCDEF), key.id, job="j1")
    with client.app.state.service.database.write() as connection:
        mark_rows.add_mark(connection, entry, 1.0)
    found = ask(client, (tmp_path / "marked.mp4").read_bytes()).json()
    layer = found["layers"]["watermark"]
    assert (layer["found"], layer["known"]["job"]) == (True, "j1")
    assert "put into examples/gone.mp4" in found["sentence"] and not found["changed"]


def test_who_may_not_see_a_job_is_not_told_its_name(keys, tmp_path, ffmpeg):
    client, heads = keys
    service, key = client.app.state.service, marking_key()
    owner = client.get("/jobs", headers=heads[Role.SUBMIT])
    assert owner.status_code == 200
    (submitter,) = [each for each in service.accounts.all() if each.name == str(Role.SUBMIT)]
    job, _ = service.store.submit(NewJob("generate", submitter.id, {"prompt": "p"}))
    entry = Registered("examples/a-secret.mp4", "0" * 64, id_text(7), key.id, job=job.id)
    with service.database.write() as connection:
        mark_rows.add_mark(connection, entry, 1.0)
    known = {name: ServiceRegister(service.database, lambda job, n=name: _sees(service, n, job))
             for name in (str(Role.SUBMIT), "other", str(Role.ADMIN))}  # fmt: skip
    shown = {name: each.of_mark(id_text(7), key.id) for name, each in known.items()}
    assert shown[str(Role.SUBMIT)] == shown[str(Role.ADMIN)] == entry
    assert (shown["other"].artifact, shown["other"].job) == (UNSEEN, "")


def _sees(service, name, job):
    (account,) = [each for each in service.accounts.all() if each.name == name]
    return verify._question(service, account).known.sees(job)


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
