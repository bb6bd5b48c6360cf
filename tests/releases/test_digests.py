"""Hashes of stored files: read once for many requests, and again for what changed."""

import hashlib
import io
import os
import threading
import time

import pytest

from src.artifacts.folder import FolderStore
from src.artifacts.memory import MemoryStore
from src.releases import digests as module
from src.releases.digests import Digests

KEY = "examples/a.mp4"


class Counting:
    """A store that counts how often a file is opened, and opens it slowly."""

    def __init__(self, store, wait=0.0):
        self.store, self.wait, self.opened = store, wait, 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    def open(self, key, version=None):
        self.opened += 1
        time.sleep(self.wait)
        return self.store.open(key, version)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """A folder with a file that has lain there for an hour."""
    store = Counting(FolderStore(tmp_path))
    store.put(KEY, io.BytesIO(b"first"))
    age(tmp_path / KEY, 3600)
    return store, tmp_path / KEY


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def rewrite(path, data, seconds):
    path.chmod(0o644)
    path.write_bytes(data)
    age(path, seconds)


def test_a_file_is_read_once_for_many_requests_and_for_each_decision(folder):
    store, _ = folder
    known = Digests(store)
    assert {known.recent(KEY, None) for _ in range(5)} == {sha256(b"first")}
    assert store.opened == 1
    assert [known.of(KEY, None) for _ in range(2)] == [sha256(b"first")] * 2
    assert store.opened == 3
    assert known.recent("examples/none.mp4", None) is None


def test_what_changed_is_read_again(folder):
    store, path = folder
    known = Digests(store)
    known.recent(KEY, None)
    rewrite(path, b"other", 1800)
    assert known.recent(KEY, None) == sha256(b"other")
    rewrite(path, b"longer", 1800)
    assert known.recent(KEY, None) == sha256(b"longer")


def test_a_file_that_has_just_changed_is_not_taken_to_be_the_same(folder):
    store, path = folder
    known, now = Digests(store), time.time()
    for data in (b"11111", b"22222", b"33333"):
        rewrite(path, data, 0)
        os.utime(path, (now, now))
        assert known.recent(KEY, None) == sha256(data)


def test_after_a_minute_it_is_read_again_whatever_its_time_says(folder, monkeypatch):
    store, path = folder
    known, old = Digests(store), path.stat().st_mtime
    known.recent(KEY, None)
    rewrite(path, b"other", 0)
    os.utime(path, (old, old))
    assert known.recent(KEY, None) == sha256(b"first"), "size and time are the same"
    assert known.of(KEY, None) == sha256(b"other"), "a decision reads"
    rewrite(path, b"third", 0)
    os.utime(path, (old, old))
    later = time.monotonic() + module.SAME_S + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert known.recent(KEY, None) == sha256(b"third")


def test_a_version_is_read_once_for_good(monkeypatch):
    store = Counting(MemoryStore())
    store.put(KEY, io.BytesIO(b"first"))
    version, known = store.look(KEY).version, Digests(store)
    assert known.recent(KEY, version) == sha256(b"first")
    later = time.monotonic() + 10 * module.SAME_S
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    store.put(KEY, io.BytesIO(b"second"))
    assert known.recent(KEY, version) == sha256(b"first") and store.opened == 1
    assert known.recent(KEY, None) == sha256(b"second") and store.opened == 2


def test_of_many_who_ask_at_once_one_reads(folder):
    store, _ = folder
    store.wait, known, found = 0.05, Digests(store), []
    ready = threading.Barrier(12)

    def ask():
        ready.wait()
        found.append(known.recent(KEY, None))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sha256(b"first")] * 12 and store.opened == 1
