"""The cache of optimised builds: whole entries only, one of each, and none that is in use goes."""

import os
import subprocess
import sys
import threading

import psutil
import pytest

from src.build_cache import users
from src.build_cache.cache import BuildCache
from src.build_cache.key import BuildKey
from src.core.errors import BadInputError, OutputError
from tests.small_disk import small_disk

KEY = BuildKey(model="net", fields={"weights": "ab", "torch": "2.13.0"})


@pytest.fixture
def cache(tmp_path):
    return BuildCache(tmp_path / "models")


def maker(size=1000, calls=None):
    def make(folder):
        if calls is not None:
            calls.append(folder)
        (folder / "part.bin").write_bytes(b"x" * size)
        return {"loss": 0.01}

    return make


def test_what_was_added_is_found_and_not_made_again(cache):
    calls = []
    built = cache.add(KEY, maker(calls=calls))
    assert cache.add(KEY, maker(calls=calls)).folder == built.folder and len(calls) == 1
    found = BuildCache(cache.root).find(KEY)
    assert found and found.facts == {"loss": 0.01} and found.fields == KEY.fields
    assert [each.name for each in cache.builds()] == [f"net/{KEY.digest}"]


def test_another_version_is_another_build(cache):
    other = BuildKey(model="net", fields=KEY.fields | {"torch": "2.14.0"})
    cache.add(KEY, maker())
    assert other.digest != KEY.digest and cache.find(other) is None
    swapped = BuildKey(model="net", fields=dict(reversed(KEY.fields.items())))
    assert swapped.digest == KEY.digest


def test_two_builders_at_once_end_with_one_entry(cache):
    both, ends = threading.Barrier(2, timeout=60), []

    def make(folder):
        both.wait()  # neither can finish before the other has begun
        return maker()(folder)

    threads = [threading.Thread(target=lambda: ends.append(cache.add(KEY, make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({build.folder for build in ends}) == 1 and len(ends) == 2
    assert len(list(cache.builds())) == 1 and not list(cache.root.glob("*/.*"))


@pytest.mark.parametrize("harm", ["bytes", "missing", "ok", "about", "fields"])
def test_a_damaged_entry_is_made_anew(cache, harm):
    folder = cache.add(KEY, maker()).folder
    if harm == "bytes":
        (folder / "part.bin").write_bytes(b"y" * 1000)
    elif harm == "fields":
        about = folder / "about.json"
        about.write_text(about.read_text().replace("2.13.0", "2.12.0"))
    else:
        (folder / {"missing": "part.bin", "ok": "ok", "about": "about.json"}[harm]).unlink()
    assert cache.find(KEY) is None and not folder.exists()
    calls = []
    assert cache.add(KEY, maker(calls=calls)).facts and len(calls) == 1


def test_a_full_disk_is_one_sentence_and_nothing_is_left(tmp_path):
    with small_disk(tmp_path, 64) as disk:
        cache = BuildCache(disk / "models")
        with pytest.raises(
            OutputError, match=r"takes no build: No space left on device; make room"
        ):
            cache.add(KEY, maker(1 << 20))
        assert not list(cache.builds()) and not list(cache.root.glob("*/.*"))


def test_a_build_that_does_not_hold_its_proof_leaves_nothing(cache):
    def make(folder):
        maker()(folder)
        raise BadInputError("it differs")

    with pytest.raises(BadInputError, match="it differs"):
        cache.add(KEY, make)
    assert cache.find(KEY) is None and not list(cache.root.glob("*/*"))


def keys(count):
    return [BuildKey(model="net", fields={"number": number}) for number in range(count)]


def test_what_was_used_longest_ago_goes_first(cache):
    for number, key in enumerate(keys(3)):
        build = cache.add(key, maker())
        users.unmark(build.folder)  # as if another process had made it
        os.utime(build.folder / "ok", (number, number))
    each = next(cache.builds()).bytes
    assert [gone.fields["number"] for gone in cache.prune(2 * each + 10)] == [0]
    assert sorted(left.fields["number"] for left in cache.builds()) == [1, 2]


def test_nothing_that_is_open_goes(cache):
    own, theirs = (cache.add(key, maker()) for key in keys(2))
    users.unmark(theirs.folder)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = psutil.Process(other.pid).create_time()
    (theirs.folder / users.MARK.format(other.pid)).write_text(f"{began:.3f}")
    assert cache.prune(0) == [] and not cache.remove(theirs)
    other.communicate(b"\n")
    assert [gone.name for gone in cache.prune(0)] == [theirs.name]
    assert [left.name for left in cache.builds()] == [own.name]


def test_what_a_killed_builder_left_is_swept_and_a_living_one_is_not(cache):
    cache.root.joinpath("net").mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = cache.root / "net" / f".{KEY.digest}.{gone.pid}.1.partial"
    alive = cache.root / "net" / f".{KEY.digest}.{os.getpid()}.1.partial"
    dead.mkdir(), alive.mkdir()
    cache.prune(0)
    assert not dead.exists() and alive.exists()


def test_small_answers_are_kept_beside_the_builds(cache):
    assert cache.recall("net", {"threads": 2}) is None
    cache.note("net", {"threads": 2}, {"fastest": "torch bf16"})
    assert cache.recall("net", {"threads": 2}) == {"fastest": "torch bf16"}
    assert cache.recall("net", {"threads": 1}) is None
    cache.prune(0)
    assert cache.recall("net", {"threads": 2})
