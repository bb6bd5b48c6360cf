"""What every artifact store keeps: one suite for the home's folder, a bucket of an S3 server, and
the stand-in. One more store is one more line in `STORES`.
"""

import contextlib
import hashlib
import io
import os
import threading
import time
import urllib.parse

import pytest

from src.artifacts.folder import FolderStore
from src.artifacts.memory import MemoryStore
from src.artifacts.s3_place import read_place
from src.artifacts.store import TakenError, holds, keep, measured_file
from src.core.errors import BadInputError, MissingFileError, OutputError
from tests.s3_kit import s3_url, seaweed  # noqa: F401

STORES = {
    "folder": lambda root, request: FolderStore(root),
    "memory": lambda root, request: MemoryStore(),
    "memory with links": lambda root, request: MemoryStore(links="https://files.example.org/n"),
    "s3": lambda root, request: _bucket(root, request, ""),
    "s3 with links": lambda root, request: _bucket(root, request, "&links=on"),
}
CLIP, MANIFEST = "examples/a-1.mp4", "examples/a-1.json"


def _bucket(root, request, links):
    url = request.getfixturevalue("s3_url")
    from src.artifacts.s3 import S3Store

    return S3Store(read_place(f"{url}{links}"), root, 1 << 30)


@pytest.fixture(params=STORES)
def files(request, tmp_path):
    return STORES[request.param](tmp_path / "store", request)


def _put(files, key, data=b"data", durable=True):
    files.put(key, io.BytesIO(data), durable)


def _read(files, key):
    with files.open(key) as stream:
        return stream.read()


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_put_is_read_listed_and_looked_at(files, durable):
    begun = time.time()
    _put(files, CLIP, b"first", durable)
    _put(files, CLIP, b"second!", durable)
    assert _read(files, CLIP) == b"second!"
    told = files.look(CLIP)
    assert (told.key, told.bytes) == (CLIP, 7)
    assert told.modified == pytest.approx(begun, abs=60)
    assert list(files.list("examples/")) == [CLIP]
    assert measured_file(files, CLIP).sha256 == hashlib.sha256(b"second!").hexdigest()


def test_large_files_are_streamed_and_read_from_any_place(files):
    data = bytes(range(256)) * 20_000
    _put(files, CLIP, data)
    with files.open(CLIP) as stream:
        stream.seek(1_000_000)
        assert stream.read(1000) == data[1_000_000:1_001_000]


def test_who_reads_while_it_is_replaced_has_the_one_or_the_other(files):
    _put(files, CLIP, b"a" * 100)
    with files.open(CLIP) as stream:
        _put(files, CLIP, b"b" * 50)
        assert stream.read() == b"a" * 100
    assert _read(files, CLIP) == b"b" * 50


def test_a_stream_that_breaks_leaves_what_was_there(files):
    class Broken(io.BytesIO):
        def read(self, *arguments):
            raise OSError(5, "the line is dead")

    _put(files, CLIP, b"whole")
    with pytest.raises((OutputError, OSError), match="the line is dead"):
        files.put(CLIP, Broken())
    assert _read(files, CLIP) == b"whole"
    assert list(files.unfinished("examples/")) == []


def test_a_key_that_is_written_once_has_one_winner(files):
    """Twelve at once, each with bytes of its own."""
    wins, begin = [], threading.Barrier(12)

    def race(number):
        begin.wait()
        with contextlib.suppress(TakenError):
            files.put(CLIP, io.BytesIO(b"clip %d" % number), once=True)
            wins.append(b"clip %d" % number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins == [_read(files, CLIP)]
    files.put(CLIP, io.BytesIO(wins[0]), once=True)  # the same bytes again
    with pytest.raises(TakenError), files.making(CLIP, once=True) as path:
        path.write_bytes(b"another")
    assert _read(files, CLIP) == wins[0]
    assert list(files.list("examples/")) == [CLIP]
    assert list(files.unfinished("examples/")) == []


def test_an_older_version_comes_back_where_versions_are_kept(files):
    _put(files, CLIP, b"published")
    version = files.look(CLIP).version
    if version is None:
        pytest.skip("this store keeps no versions")
    _put(files, CLIP, b"replaced by hand")
    assert _read(files, CLIP) == b"replaced by hand"
    for _ in range(2):
        with files.open(CLIP, version) as stream:
            assert stream.read() == b"published"
        assert files.look(CLIP, version).bytes == 9
        assert files.url(CLIP, 60, version) is None
        files.delete(CLIP)
    assert files.look(CLIP) is None


def test_what_is_not_there_is_said(files):
    assert files.look(CLIP) is None
    for ask in (
        files.open,
        lambda key: measured_file(files, key),
        lambda key: files.local(key).__enter__(),
    ):
        with pytest.raises(MissingFileError, match=r"examples/a-1.mp4 is not in the store"):
            ask(CLIP)
    assert not holds(files, CLIP, 4, "0" * 64)
    files.delete(CLIP, MANIFEST)
    assert list(files.list("photographs/")) == []


def test_lists_go_by_the_begin_of_keys(files):
    keys = {"previews/ab.jpg", "previews/ab.1.poster.jpg", "previews/abc.jpg", "examples/ab.mp4"}
    for key in keys:
        _put(files, key)
    assert set(files.list("previews/")) == keys - {"examples/ab.mp4"}
    assert set(files.list("previews/ab.")) == {"previews/ab.jpg", "previews/ab.1.poster.jpg"}
    files.delete("previews/ab.jpg", "previews/none.jpg", "examples/ab.mp4")
    assert set(files.list("previews/")) == {"previews/ab.1.poster.jpg", "previews/abc.jpg"}
    assert list(files.list("examples/")) == []


def test_a_move_takes_no_other_ones_place(files):
    _put(files, CLIP, b"one")
    _put(files, "quarantine/a-1.mp4", b"other")
    assert not files.move(CLIP, "quarantine/a-1.mp4")
    assert files.move(CLIP, "quarantine/a-1.2.mp4")
    assert not files.move(CLIP, "quarantine/a-1.3.mp4")
    assert files.look(CLIP) is None
    assert _read(files, "quarantine/a-1.mp4") == b"other"
    assert _read(files, "quarantine/a-1.2.mp4") == b"one"
    assert files.look("quarantine/a-1.2.mp4").key == "quarantine/a-1.2.mp4"


def test_a_local_file_has_the_bytes_the_name_and_the_time(files):
    _put(files, CLIP, b"frames")
    with files.local(CLIP) as path:
        assert (path.name, path.read_bytes()) == ("a-1.mp4", b"frames")
        assert path.stat().st_mtime == pytest.approx(files.look(CLIP).modified, abs=1e-3)
    assert _read(files, CLIP) == b"frames"


def test_what_a_program_makes_at_a_path_is_stored_with_what_lies_beside(files):
    with files.making(CLIP) as path:
        assert path.name == "a-1.mp4"
        path.with_suffix(".json").write_bytes(b"{}")
        path.write_bytes(b"clip")
    assert set(files.list("examples/")) == {CLIP, MANIFEST}
    assert (_read(files, CLIP), _read(files, MANIFEST)) == (b"clip", b"{}")


def test_a_program_that_makes_nothing_stores_nothing(files):
    with files.making(CLIP) as path:
        path.with_name(".a-1.123.partial.mp4").write_bytes(b"half")
    with pytest.raises(ValueError, match="no"), files.making(CLIP):
        raise ValueError("no")
    assert list(files.list("examples/")) == []
    files.delete(*files.unfinished("examples/a-1."))
    assert list(files.unfinished("examples/")) == []


def test_a_damaged_file_is_stored_again_and_a_whole_one_is_not(files, monkeypatch):
    data, key = b"photograph", "photographs/p.png"
    digest = hashlib.sha256(data).hexdigest()
    keep(files, key, data, digest)
    for damage in (b"", b"photogra", b"photogrbph"):
        _put(files, key, damage)
        assert not holds(files, key, len(data), digest)
        keep(files, key, data, digest)
        assert _read(files, key) == data
    monkeypatch.setattr(files, "put", lambda *_: pytest.fail("it is whole"))
    keep(files, key, data, digest)


def test_an_address_for_clients_is_none_or_one_for_this_file(files):
    _put(files, CLIP)
    url = files.url(CLIP, 60)
    if url is not None:
        assert url.startswith(f"{files.origin}/")
        assert urllib.parse.urlsplit(url).path.endswith(CLIP)
    else:
        assert files.origin is None


@pytest.mark.parametrize(
    "key",
    ["../x", "a.mp4", "/etc/passwd", "examples/../x", "examples/..", "examples/a/b", "examples/"],
)
def test_what_leads_elsewhere_is_no_key(files, key):
    for ask in (files.look, files.open, files.delete, lambda key: _put(files, key)):
        with pytest.raises(BadInputError, match="is no key of a stored file"):
            ask(key)


def test_a_link_is_no_file_of_the_folder(tmp_path):
    files = FolderStore(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "examples").mkdir()
    (tmp_path / CLIP).symlink_to(tmp_path / "secret")
    assert files.look(CLIP) is None
    assert list(files.list("examples/")) == []
    with pytest.raises(MissingFileError):
        files.open(CLIP)


@pytest.mark.parametrize(
    "name",
    [b"odd-\xff.mp4", b"back\\slash.mp4", "Überschrift ☃\n.mp4".encode(), b"x" * 251 + b".mp4"],
)
def test_whatever_a_disk_calls_a_file_it_has_a_key_that_a_text_can_hold(tmp_path, name):
    files = FolderStore(tmp_path)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / os.fsdecode(name)).write_text("clip")
    (key,) = files.list("examples/")
    key.encode()
    assert _read(files, key) == b"clip"
    assert files.look(key).bytes == 4
    assert files.move(key, key.replace(".mp4", ".mov"))
    assert [path.suffix for path in (tmp_path / "examples").iterdir()] == [".mov"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "store").write_text("a file")
    files = FolderStore(tmp_path / "store")
    for ask in (lambda: _put(files, CLIP), lambda: files.making(CLIP).__enter__()):
        with pytest.raises(OutputError, match=r"cannot be (written|made)"):
            ask()
