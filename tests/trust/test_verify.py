"""What was changed is named, whatever it is; what is damaged is an answer; nothing is fetched."""

import json
import random
import shutil
import socket
from dataclasses import replace

import pytest
from PIL import Image

from src.cli.verify import verify_app
from src.trust import settings, signing
from src.trust.authority import make_authority
from src.trust.claim import GENERATION, definition
from src.trust.signing import sign_file
from src.trust.verdict import verify_signature
from tests.command_kit import run_here
from tests.trust.kit import boxes, broken, claim, flipped, signed, signed_photograph

FUZZED = 500


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("verification asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def clip(plain_clip, photograph, tmp_path):
    return signed(plain_clip, tmp_path / "clip.mp4", photograph)


def state(path):
    return verify_signature(path, settings.anchors())["layers"]["c2pa"]["state"]


def place_in(data, kind, last=False):
    """The middle of a box."""
    found = [(begin, size) for name, begin, size in boxes(data) if name == kind]
    begin, size = found[-1 if last else 0]
    return begin + size // 2


def test_trusted_with_the_configured_root_and_valid_without(clip, home, tmp_path, monkeypatch):
    done = run_here(verify_app(), clip, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["layers"]["c2pa"]["state"]) == (0, "trusted")
    assert [found["layers"][name]["found"] for name in ("watermark", "fingerprint")] == [None, None]
    assert "no watermark key" in found["layers"]["watermark"]["sentence"]
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "elsewhere"))
    done = run_here(verify_app(), clip)
    assert done.returncode == 0 and "this installation does not know" in done.stdout
    monkeypatch.setenv(settings.ANCHORS, str(home / settings.TRIAL / "root.pem"))
    assert "whom this installation trusts" in run_here(verify_app(), clip).stdout


@pytest.mark.parametrize(("kind", "last", "named"), [
    ("moov", False, "the file: its picture, sound or index"),
    ("mdat", False, "the file: its picture, sound or index"),
    ("uuid", True, "the file: its picture, sound or index"),  # XMP
    ("uuid", False, "record"),  # the manifest's own
])  # fmt: skip
def test_one_changed_bit_is_named(clip, kind, last, named):
    data = clip.read_bytes()
    clip.write_bytes(flipped(data, place_in(data, kind, last)))
    done = run_here(verify_app(), clip)
    assert done.returncode == 2 and named in done.stdout, done.stdout


@pytest.mark.parametrize("part", [0.999, 0.9, 0.5])
def test_a_cut_file_is_named(clip, part):
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * part)])
    done = run_here(verify_app(), clip)
    assert done.returncode == 2 and "Changed after it was signed" in done.stdout


def test_bytes_that_were_added_are_named(clip):
    clip.write_bytes(clip.read_bytes() + b"more")
    assert run_here(verify_app(), clip).returncode == 2


def test_a_changed_photograph_is_named_though_the_clip_is_whole(
    plain_clip, pixels, tmp_path, photograph
):
    plain = tmp_path / "plain.jpg"
    Image.fromarray(pixels).save(plain, quality=95)
    camera = signed_photograph(plain, tmp_path / "camera.jpg")
    whole = signed(plain_clip, tmp_path / "whole.mp4", camera)
    assert run_here(verify_app(), whole).returncode == 0 and state(whole) == "trusted"
    data = camera.read_bytes()
    camera.write_bytes(flipped(data, len(data) - 200))
    done = run_here(verify_app(), signed(plain_clip, tmp_path / "changed.mp4", camera), "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 2 and "that it was made of had been changed" in found["sentence"]
    wrong = [
        each for each in found["layers"]["c2pa"]["failures"] if each["where"] == "an ingredient"
    ]
    assert "assertion.dataHash.mismatch" in [each["code"] for each in wrong]


def test_damage_in_a_photographs_own_record_is_named(plain_clip, pixels, tmp_path):
    plain = tmp_path / "plain.jpg"
    Image.fromarray(pixels).save(plain, quality=95)
    camera = signed_photograph(plain, tmp_path / "camera.jpg")
    data = camera.read_bytes()
    camera.write_bytes(flipped(data, data.index(b"digitalCapture")))
    done = run_here(verify_app(), signed(plain_clip, tmp_path / "changed.mp4", camera))
    assert done.returncode == 2 and "an ingredient: signed record" in done.stdout


def test_damage_anywhere_in_the_record_is_an_answer(clip):
    """Padding and labels that nothing reads may change; no place breaks the reader, and where the
    claim or an assertion lies every change is found.
    """
    data = clip.read_bytes()
    begin, size = next((begin, size) for name, begin, size in boxes(data) if name == "uuid")
    found = set()
    for place in range(begin, begin + size, 97):
        clip.write_bytes(flipped(data, place, place % 8))
        found.add(state(clip))
    assert found <= {"changed", "trusted", "none", "unreadable"} and "changed" in found
    for word in (b"org.newsreel.generation", b"trainedAlgorithmicMedia", b"photograph.png"):
        clip.write_bytes(flipped(data, data.index(word) + 2))
        assert state(clip) == "changed", word


@pytest.mark.slow
def test_five_hundred_broken_files_get_an_answer(clip, tmp_path):
    data, chance, found = clip.read_bytes(), random.Random(24), {}
    for number in range(FUZZED):
        clip.write_bytes(broken(data, chance))
        answer = verify_signature(clip, settings.anchors())
        found[number] = answer["layers"]["c2pa"]["state"]
        assert answer["sentence"]
    assert len(found) == FUZZED and "changed" in found.values()


@pytest.mark.parametrize("data", [b"", b"\0", b"hello" * 99, b"<svg></svg>", b"\x1aE\xdf\xa3" * 9])
def test_what_is_no_signed_file_has_nothing(tmp_path, data):
    path = tmp_path / "some.mp4"
    path.write_bytes(data)
    done = run_here(verify_app(), path)
    assert done.returncode == 0 and "That proves nothing" in done.stdout, done.stdout


def test_an_unsigned_clip_is_not_called_changed(plain_clip, tmp_path):
    path = tmp_path / "clip.mp4"
    data = plain_clip.read_bytes()
    for some in (data, data[:-100], flipped(data, 3), data + b"abcdefghijk"):
        path.write_bytes(some)
        assert not verify_signature(path)["changed"]


def test_an_address_in_a_file_is_not_visited(plain_clip, photograph, tmp_path):
    import c2pa

    from src.trust.claim import definition, ingredient
    from src.trust.context import make_context
    from src.trust.signer import signatory

    path, told = tmp_path / "remote.mp4", claim(photograph)
    builder = c2pa.Builder(definition(told), make_context())
    with photograph.open("rb") as stream:
        builder.add_ingredient(ingredient(told), "png", stream)
    builder.set_no_embed()
    with socket.create_server(("127.0.0.1", 0)) as server:
        builder.set_remote_url(f"http://127.0.0.1:{server.getsockname()[1]}/m.c2pa")
        with plain_clip.open("rb") as source, path.open("w+b") as target:
            builder.sign(signatory().signer(), "video/mp4", source, target)
        found = verify_signature(path)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert found["layers"]["c2pa"]["state"] == "elsewhere" and "not visited" in found["sentence"]


def test_what_strangers_write_is_bounded_and_moves_no_cursor(
    plain_clip, photograph, tmp_path, monkeypatch
):
    own = make_authority(tmp_path / "own", "Evil\x1b[2J")
    monkeypatch.setenv(settings.KEY, str(own / "leaf.key"))
    monkeypatch.setenv(settings.CERTIFICATE, str(own / "chain.pem"))
    path = tmp_path / "clip.mp4"
    shutil.copy(plain_clip, path)
    filled = replace(claim(photograph), facts={"a": "x" * 20_000}, title="t" * 5000)
    sign_file(path, path, filled)
    done = run_here(verify_app(), path)
    assert "Evil?[2J" in done.stdout and "\x1b" not in done.stdout
    layer = verify_signature(path)["layers"]["c2pa"]
    assert layer["generation"] == {} and len(layer["ingredients"][0]) == 200


@pytest.mark.parametrize("data", [[1, 2], "text", 3, None])
def test_assertions_of_any_form_are_read(plain_clip, photograph, tmp_path, monkeypatch, data):
    """c2pa checks the form of those that it knows; ours anybody fills."""
    usual = definition(claim(photograph))
    usual["assertions"] = [usual["assertions"][0], {"label": GENERATION, "data": data}]
    monkeypatch.setattr(signing, "definition", lambda _: usual)
    made = signed(plain_clip, tmp_path / "clip.mp4", photograph)
    layer = verify_signature(made)["layers"]["c2pa"]
    assert (layer["state"], layer["generation"]) == ("valid", {})


def test_several_files_and_one_that_is_not_there(clip, plain_clip, tmp_path):
    done = run_here(verify_app(), clip, plain_clip, "--json")
    found = json.loads(done.stdout)["files"]
    assert [each["layers"]["c2pa"]["state"] for each in found] == ["trusted", "none"]
    done = run_here(verify_app(), tmp_path / "none.mp4")
    assert done.returncode == 2 and "there is no file" in done.stderr
