"""A folder that is watched: what becomes a clip, what waits, what is set aside."""

import io
import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from src.core.errors import OutputError
from src.engine.manifest import read_manifest
from src.engine.watching import REJECTED, WatchedFolder
from src.media.press_metadata import press_caption
from tests.command_kit import run_here

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 photoshop:Headline="Flood in the old town"><dc:description><rdf:Alt>
 <rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>
</x:xmpmeta>"""


def iim(*records):
    """A Photoshop segment (APP13) with IPTC records (number, bytes) of the second kind."""
    data = b"".join(
        b"\x1c" + bytes(number) + len(value).to_bytes(2, "big") + value for number, value in records
    )
    block = (
        b"8BIM\x04\x04\x00\x00" + len(data).to_bytes(4, "big") + data + b"\x00" * (len(data) % 2)
    )
    body = b"Photoshop 3.0\x00" + block
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body


def jpeg(path, *records, **options):
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 60)).save(stream, "JPEG", **options)
    data = stream.getvalue()
    path.write_bytes(data[:2] + (iim(*records) if records else b"") + data[2:])
    return path


@pytest.mark.parametrize(
    ("records", "words"),
    [([((2, 120), b"A man opens\r a door")], "A man opens a door"),
     ([((2, 105), b"Headline alone")], "Headline alone"),
     ([((1, 90), b"\x1b%G"), ((2, 120), "Brücke über die Spree".encode())],
      "Brücke über die Spree"),
     ([((2, 120), "Brücke".encode())], "Brücke"),
     ([((2, 120), "Brücke".encode("latin-1"))], "Brücke"), ([], "")],
)  # fmt: skip
def test_the_caption_of_an_agency_is_read(tmp_path, records, words):
    assert press_caption(jpeg(tmp_path / "a.jpg", *records)) == words


@pytest.mark.parametrize(
    ("xmp", "words"),
    [(XMP.format("Rescue boats in the main street"), "Rescue boats in the main street"),
     (XMP.format(""), "Flood in the old town"), ("<x", ""),
     ('<!DOCTYPE a [<!ENTITY b "c">]>' + XMP.format("&b;"), "")],
)  # fmt: skip
def test_so_is_what_xmp_says_and_entities_are_not(tmp_path, xmp, words):
    assert press_caption(jpeg(tmp_path / "a.jpg", xmp=xmp.encode())) == words
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert press_caption(tmp_path / "b.jpg") == ""


@pytest.fixture
def desk(tmp_path):
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


def aged(path, seconds=100):
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_what_is_still_being_written_waits_and_what_has_no_words_is_set_aside(desk):
    jpeg(desk / "new.jpg", ((2, 120), b"pan left"))
    aged(jpeg(desk / "waiting.jpg"), 20)
    aged(jpeg(desk / "ready.jpg", ((2, 120), b"pan left")))
    aged(jpeg(desk / "silent.jpg"))
    (item,) = WatchedFolder(desk).ready()
    assert (item.photograph.name, item.said) == ("ready.jpg", {"prompt": "pan left"})
    assert sorted(path.name for path in (desk / REJECTED).iterdir()) == [
        "silent.jpg", "silent.jpg.why.txt",
    ]  # fmt: skip
    assert "put the prompt into silent.txt" in (desk / REJECTED / "silent.jpg.why.txt").read_text()


def test_a_sidecar_says_more_than_the_caption(desk):
    aged(jpeg(desk / "a.jpg", ((2, 120), b"pan left")))
    (desk / "a.txt").write_text("tilt up\n")
    (desk / "a.yaml").write_text("seed: 7\n")
    for name in ("a.txt", "a.yaml"):
        aged(desk / name)
    (item,) = WatchedFolder(desk).ready()
    assert item.said == {"prompt": "tilt up", "seed": 7}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("a.txt", b"\xff\xfe\x00", "a.txt is no UTF-8 text"),
     ("a.yaml", b"- a list", "a.yaml"), ("a.yaml", b"prompt: [", "a.yaml")],
)  # fmt: skip
def test_a_bad_sidecar_goes_aside_with_its_photograph(desk, name, data, words):
    aged(jpeg(desk / "a.jpg"))
    (desk / name).write_bytes(data)
    aged(desk / name)
    assert list(WatchedFolder(desk).ready()) == []
    assert {"a.jpg", name, "a.jpg.why.txt"} == {path.name for path in (desk / REJECTED).iterdir()}
    assert words in (desk / REJECTED / "a.jpg.why.txt").read_text()


FLAGS = ("--num-inference-steps", "1", "--num-frames", "9", "--no-score", "--width", "64",
         "--height", "48", "--once")  # fmt: skip


def test_a_photograph_becomes_a_clip_beside_it_once(desk, tiny_folder, photograph):
    from src.cli.watch import watch_app

    shutil.copy(photograph, desk / "a.png")
    (desk / "a.txt").write_text("pan left")
    (desk / "bad.jpg").write_bytes(b"no picture")
    (desk / "bad.txt").write_text("pan left")
    for path in desk.iterdir():
        aged(path)

    def watch():
        done = run_here(watch_app(), desk, "--model", tiny_folder, *FLAGS)
        assert done.returncode == 0, done.stderr
        return done.stderr

    said = watch()
    assert (desk / "a.json").is_file(), said
    made = read_manifest(desk / "a.json")
    assert (made.request["prompt"], (desk / "a.mp4").stat().st_size > 0) == ("pan left", True)
    assert "bad.jpg is set aside" in said
    assert "is not a picture" in (desk / REJECTED / "bad.jpg.why.txt").read_text()
    written = (desk / "a.mp4").stat().st_mtime_ns
    watch()
    assert (desk / "a.mp4").stat().st_mtime_ns == written
    (desk / "a.txt").write_text("tilt up")
    aged(desk / "a.txt")
    watch()
    assert read_manifest(desk / "a.json").request["prompt"] == "tilt up"


def test_wrong_flags_end_the_command_and_no_photograph_is_to_blame(desk, tiny_folder, photograph):
    from src.cli.watch import watch_app

    shutil.copy(photograph, desk / "a.png")
    (desk / "a.txt").write_text("pan left")
    for path in desk.iterdir():
        aged(path)
    done = run_here(watch_app(), desk, "--model", tiny_folder, "--num-frames", 10, "--once")
    assert (done.returncode, "nearest" in done.stderr) == (2, True), done.stderr
    assert {path.name for path in desk.glob("[!.]*")} == {"a.png", "a.txt"}


def test_a_folder_is_watched_once_and_must_be_one(desk, tmp_path):
    from src.cli.watch import _alone, watch_app

    with _alone(desk):
        done = run_here(watch_app(), desk, "--once")
    assert (done.returncode, "is watched by another process already" in done.stderr) == (2, True)
    done = run_here(watch_app(), tmp_path / "none", "--once")
    assert (done.returncode, "is not a folder" in done.stderr) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_mark_that_editors_put_before_a_text_is_no_part_of_the_prompt(desk, encoding):
    aged(jpeg(desk / "a.jpg"))
    (desk / "a.txt").write_bytes("pan left".encode(encoding))
    aged(desk / "a.txt")
    (item,) = WatchedFolder(desk).ready()
    assert item.said == {"prompt": "pan left"}


def test_what_is_no_plain_file_is_passed_over(desk):
    (desk / "loop.jpg").symlink_to("loop.jpg")
    (desk / "folder.jpg").mkdir()
    os.mkfifo(desk / "pipe.jpg")
    aged(jpeg(desk / "a.jpg", ((2, 120), b"pan left")))
    (item,) = WatchedFolder(desk, patience=0).ready()
    assert item.photograph.name == "a.jpg"
    assert not (desk / REJECTED).exists()


def test_a_folder_that_takes_nothing_is_a_sentence(desk):
    from src.cli.watch import watch_app

    (desk / REJECTED).write_text("a file")
    aged(jpeg(desk / "silent.jpg"))
    with pytest.raises(OutputError, match="cannot be made: File exists"):
        list(WatchedFolder(desk).ready())
    done = run_here(watch_app(), "/proc", "--once")
    assert (done.returncode, "/proc cannot be written" in done.stderr) == (6, True)
    done = run_here(watch_app(), "", "--once")
    assert (done.returncode, "it is empty" in done.stderr) == (2, True)


def test_two_photographs_of_one_name_are_no_two_clips(desk):
    for name in ("a.jpg", "a.png"):
        aged(jpeg(desk / name, ((2, 120), b"pan left")))
    (desk / "a.txt").write_text("pan left")
    aged(desk / "a.txt")
    for _ in range(2):
        (item,) = WatchedFolder(desk).ready()
        assert item.photograph.name == "a.jpg"
    assert (desk / "a.txt").is_file()
    assert "that of a.jpg" in (desk / REJECTED / "a.png.why.txt").read_text()


def test_what_cannot_be_moved_aside_is_a_sentence(desk, monkeypatch):
    def refuse(path, target):
        raise PermissionError(1, "Operation not permitted")

    (desk / "a.jpg").write_bytes(b"0")
    aged(desk / "a.jpg")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match="a.jpg cannot be moved to .*: Operation not permitted"):
        list(WatchedFolder(desk).ready())


def test_what_was_rejected_before_stays(desk):
    for number in range(3):
        (desk / "IMG_1.jpg").write_bytes(b"%d" % number)
        aged(desk / "IMG_1.jpg")
        assert list(WatchedFolder(desk).ready()) == []
    kept = {path.name: path.read_bytes() for path in (desk / REJECTED).glob("*.jpg")}
    assert kept == {"IMG_1.jpg": b"0", "IMG_1-2.jpg": b"1", "IMG_1-3.jpg": b"2"}
    assert (desk / REJECTED / "IMG_1-3.jpg.why.txt").is_file()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".avif"])
def test_a_damaged_photograph_has_no_caption_and_ends_nothing(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    Image.new("RGB", (64, 48), (90, 120, 60)).save(whole)
    data = whole.read_bytes()
    for length in range(0, len(data), 7):
        short = tmp_path / f"short{suffix}"
        short.write_bytes(data[:length])
        assert press_caption(short) == ""
    with pytest.raises(FileNotFoundError):
        press_caption(tmp_path / "none.jpg")


def test_a_photograph_that_is_taken_away_meanwhile_is_passed_over(desk):
    for name in ("a", "b"):
        aged(jpeg(desk / f"{name}.jpg", ((2, 120), b"pan left")))
    found = WatchedFolder(desk).ready()
    assert next(found).photograph.name == "a.jpg"
    (desk / "b.jpg").unlink()
    assert list(found) == []


def test_what_a_sidecar_names_and_is_not_there_rejects_its_photograph(desk, tiny_folder):
    from src.cli.watch import watch_app

    aged(jpeg(desk / "a.jpg"))
    (desk / "a.yaml").write_text("prompt: pan left\nlora: [/nope/x.safetensors]\n")
    aged(desk / "a.yaml")
    done = run_here(watch_app(), desk, "--model", tiny_folder, *FLAGS)
    assert done.returncode == 0, done.stderr
    assert "/nope/x.safetensors" in (desk / REJECTED / "a.jpg.why.txt").read_text()
