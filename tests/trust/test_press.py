"""What an agency wrote into a photograph, in the clip: as XMP, and as an assertion."""

import struct

from src.core.press_fields import press_assertion
from src.media.press_metadata import of_xmp
from src.trust.claim import GENERATED, Claim, definition
from src.trust.xmp import UUID, append_xmp, packet, read_xmp

PRESS = {
    "headline": "Flood <in> the \"old\" town & more", "caption": "Ein Boot, Straße",
    "creator": "Ann",
    "credit": "Agency/AG", "source": "AG", "rights": "(c) 2026", "usage_terms": "Editorial",
    "data_mining": "DMI-PROHIBITED-SEECONSTRAINT", "constraints": "ask first",
}  # fmt: skip


def _claim(tmp_path, press=PRESS):
    return Claim(GENERATED, "1", "nano", {}, tmp_path / "a.png", "a.png", press=press)


def test_what_is_written_is_read_again(tmp_path):
    assert of_xmp(packet(_claim(tmp_path))).told == PRESS
    assert of_xmp(packet(_claim(tmp_path, {}))).told == {}
    assert b"trainedAlgorithmicMedia" in packet(_claim(tmp_path, {}))


def test_the_box_is_found_among_others(tmp_path):
    file, claim = tmp_path / "a.mp4", _claim(tmp_path)
    boxes = struct.pack(">I4s", 12, b"ftyp") + b"isom" + struct.pack(">I4sQ", 1, b"mdat", 20)
    other = struct.pack(">I4s", 28, b"uuid") + b"x" * 16 + b"data"
    file.write_bytes(boxes + b"data" + other)
    assert read_xmp(file) == b""
    append_xmp(file, claim)
    assert read_xmp(file) == packet(claim)
    file.write_bytes(file.read_bytes() + struct.pack(">I4s", 8, b"free"))
    assert read_xmp(file) == packet(claim)


def test_damaged_files_have_none_and_end_nothing(tmp_path):
    file = tmp_path / "a.mp4"
    append_xmp(file, _claim(tmp_path))
    whole = file.read_bytes()
    for length in range(0, len(whole), 13):
        file.write_bytes(whole[:length])
        assert read_xmp(file) in (b"", whole[24:length])
    for head in (b"\0\0\0\0uuid" + UUID, b"\0\0\0\x03abcd", b"\0\0\0\x01mdat" + b"\0" * 8):
        file.write_bytes(head)
        assert read_xmp(file) == b""


def test_the_assertion_names_its_terms(tmp_path):
    told = press_assertion(PRESS)
    assert told["photoshop:Credit"] == "Agency/AG"
    assert told["plus:DataMining"].endswith("/vocab/DMI-PROHIBITED-SEECONSTRAINT")
    assert set(told["@context"]) == {"dc", "photoshop", "plus", "xmpRights"}
    labels = [each["label"] for each in definition(_claim(tmp_path))["assertions"]]
    assert "cawg.metadata" in labels
    assert "cawg.metadata" not in [
        each["label"] for each in definition(_claim(tmp_path, {}))["assertions"]
    ]
