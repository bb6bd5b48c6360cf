"""What only a store behind a network has: damaged bytes, uploads that break off, a server that is
away, keys that are wrong.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree

import pytest

from src.artifacts.registry import bind_store, open_store
from src.artifacts.s3_place import read_place
from src.artifacts.store import StoreAwayError
from src.core.errors import BadInputError, OutputError
from src.core.paths import REPOSITORY
from src.database.database import Database
from tests.s3_kit import SECRET, s3_line, s3_url, seaweed  # noqa: F401
from tests.waiting import wait_until

CLIP = "examples/a-1.mp4"
BODY = b"z" * 20_000_000
"""More than one part."""
PUT = """
import io, sys
from src.artifacts.registry import open_store
files = open_store()
print("begun", flush=True)
files.put(sys.argv[1], io.BytesIO(b"z" * 40_000_000), once=True)
"""


def _store(url, root, line=None, patience=None):
    from src.artifacts.s3 import S3Store

    place = read_place(url)
    if line is not None:
        place = read_place(f"s3://{place.bucket}/{place.prefix}?endpoint={line.url}")
    return S3Store(place, root, 1 << 30, patience)


def _put(files, data, once=False):
    import io

    files.put(CLIP, io.BytesIO(data), once=once)


@pytest.mark.parametrize("size", [1000, len(BODY)])
def test_a_byte_that_flips_on_the_way_up_is_refused(s3_url, s3_line, tmp_path, size):  # noqa: F811
    files = _store(s3_url, tmp_path, s3_line)
    s3_line.flip = "up"
    with pytest.raises(OutputError, match="was not taken by the store"):
        _put(files, BODY[:size])
    s3_line.flip = ""
    assert files.look(CLIP) is None
    _put(files, BODY[:size], once=True)
    assert files.look(CLIP).bytes == size


def test_a_byte_that_flips_on_the_way_down_is_not_used(s3_url, s3_line, tmp_path):  # noqa: F811
    files = _store(s3_url, tmp_path, s3_line)
    _put(files, BODY)
    s3_line.flip = "down"
    with pytest.raises(OutputError, match="arrived from the store with other bytes"):
        files.local(CLIP).__enter__()
    s3_line.flip = ""
    with files.local(CLIP) as path:
        assert path.read_bytes() == BODY


def test_a_copy_is_fetched_once_and_goes_when_there_is_no_room(s3_url, s3_line, tmp_path):  # noqa: F811
    files = _store(s3_url, tmp_path, s3_line)
    _put(files, BODY)
    with files.local(CLIP):
        before = s3_line.passed
    with files.local(CLIP) as path:
        assert s3_line.passed - before < len(BODY) / 100
        files._copies.most = 1
        other = "examples/b-1.mp4"
        files.move(CLIP, other)
        with files.local(other) as second:
            assert path.exists()  # in use
            assert second.read_bytes() == BODY
    files._copies._shrink(second.parent)
    assert not path.exists()


def test_an_upload_that_was_killed_shows_nothing_and_takes_no_name(
    s3_url,  # noqa: F811
    s3_line,  # noqa: F811
    tmp_path,
):
    place = read_place(s3_url)
    slow = f"s3://{place.bucket}/{place.prefix}?endpoint={s3_line.url}"
    environment = os.environ | {"NEWSREEL_STORE": slow, "NEWSREEL_HOME": str(tmp_path)}
    s3_line.pause = 0.005
    writer = subprocess.Popen(
        [sys.executable, "-c", PUT, CLIP], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"begun\n"
    wait_until(lambda: s3_line.passed > 12_000_000)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    files = _store(s3_url, tmp_path)
    assert files.look(CLIP) is None
    assert list(files.list("examples/")) == []
    _put(files, b"the next attempt", once=True)
    with files.open(CLIP) as stream:
        assert stream.read() == b"the next attempt"


def test_a_large_file_that_is_created_once_has_time_by_its_size(
    s3_url,  # noqa: F811
    s3_line,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Whole and over a slow line it takes longer than one request may; a small one has no more."""
    from src.artifacts import s3, s3_place

    files = _store(s3_url, tmp_path, s3_line)
    part = s3_place.REQUEST_S
    assert s3.whole_s(1) == s3.whole_s(s3.PIECE * s3.TOGETHER) == part
    assert s3.whole_s(s3.PIECE * s3.TOGETHER + 1) == 2 * part
    asked, client = [], s3_place.S3Place.client
    monkeypatch.setattr(
        s3_place.S3Place, "client", lambda self, *given: asked.append(given) or client(self, *given)
    )
    _put(files, b"small", once=True)
    files.delete(CLIP)
    assert asked == []
    files._client = client(files.place, 1)
    s3_line.pause = 0.01  # 20 MB in 3 s or more
    begun = time.monotonic()
    _put(files, BODY, once=True)
    assert time.monotonic() - begun > 1
    assert asked == [(part,)]
    s3_line.pause = 0.0
    assert files.look(CLIP).bytes == len(BODY)


def test_a_server_that_is_away_is_waited_for_as_long_as_patience_lasts(
    s3_url,  # noqa: F811
    s3_line,  # noqa: F811
    tmp_path,
):
    asked = []

    def patience(error, waited):
        asked.append(str(error))
        time.sleep(0.1)
        return waited < 30

    files = _store(s3_url, tmp_path, s3_line, patience)
    s3_line.cut = True
    s3_line.sever()
    threading.Timer(2.0, lambda: setattr(s3_line, "cut", False)).start()
    _put(files, b"late", once=True)
    assert asked
    assert set(asked) == {"the store cannot be reached (no connection); try again soon"}
    with files.open(CLIP) as stream:
        assert stream.read() == b"late"
    s3_line.cut, files.patience = True, None
    s3_line.sever()
    with pytest.raises(StoreAwayError, match="cannot be reached"):
        files.look(CLIP)


def test_a_wrong_secret_is_refused_at_the_start(s3_url, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("NEWSREEL_STORE", s3_url)
    open_store()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    command = [sys.executable, "-c", "import src.api_server"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "refuses the key of this service (SignatureDoesNotMatch)" in done.stderr
    assert "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY right" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "wrong-secret" not in done.stderr


def test_a_bucket_that_is_not_there_is_told(s3_url, monkeypatch):  # noqa: F811
    monkeypatch.setenv("NEWSREEL_STORE", s3_url.replace("s3://newsreel-", "s3://nowhere-"))
    with pytest.raises(BadInputError, match="no such bucket"):
        open_store()


def test_a_bucket_belongs_to_one_database(s3_url, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("NEWSREEL_STORE", s3_url)
    files, databases = open_store(), []
    for name in ("one", "two"):
        databases.append(Database(f"sqlite:///{tmp_path / name}.db"))
        databases[-1].migrate()
    shared = bind_store(databases[0], files)
    assert bind_store(databases[0], open_store()) == shared
    with pytest.raises(BadInputError, match="the store belongs to database"):
        bind_store(databases[1], files)
    assert bind_store(databases[1], files, adopt=True) != shared
    for each in databases:
        each.engine.dispose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://bucket/x", "such as s3://BUCKET/PREFIX"),
        ("s3://", "such as s3://BUCKET/PREFIX"),
        ("s3://bucket?endpoint=host", "endpoint of NEWSREEL_STORE must be"),
        ("s3://bucket?links=ftp://host", "links of NEWSREEL_STORE must be"),
        ("s3://bucket?secret=topsecret", "such as s3://BUCKET/PREFIX"),
        ("s3://AK:topsecret@bucket/x", "put it into AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_no_address_of_a_store_is_told_without_its_secret(url, told):
    with pytest.raises(BadInputError) as caught:
        read_place(url)
    assert told in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_a_missing_package_is_one_sentence_with_its_command(monkeypatch):
    monkeypatch.setenv("NEWSREEL_STORE", "s3://bucket/x")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BadInputError, match="pip install -r requirements-fleet.txt"):
        open_store()


def test_the_home_is_the_store_of_a_service_that_sets_none_and_loads_no_client():
    code = "import sys; from src.artifacts.registry import open_store; open_store(); "
    code += "sys.exit('obstore' in sys.modules or 'src.artifacts.s3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_the_lifecycle_that_is_shipped_is_taken_by_a_server(seaweed):  # noqa: F811
    rules = json.loads((REPOSITORY / "deploy/s3/lifecycle.json").read_text("utf-8"))
    document = ElementTree.Element("LifecycleConfiguration")
    for rule in rules["Rules"]:
        _add(document, "Rule", rule)
    bucket = seaweed.bucket()
    answer = seaweed.ask("PUT", f"/{bucket}", "lifecycle", ElementTree.tostring(document))
    assert answer.status_code == 200, answer.text
    kept = seaweed.ask("GET", f"/{bucket}", "lifecycle").text
    assert "<NoncurrentDays>30</NoncurrentDays>" in kept
    assert "<DaysAfterInitiation>1</DaysAfterInitiation>" in kept


def _add(parent, name, value):
    node = ElementTree.SubElement(parent, name)
    if isinstance(value, dict):
        for key, each in value.items():
            _add(node, key, each)
    else:
        node.text = str(value).lower() if isinstance(value, bool) else str(value)


def test_no_secret_of_the_environment_is_in_what_a_store_says_of_itself(s3_url):  # noqa: F811
    assert SECRET not in str(read_place(s3_url))
