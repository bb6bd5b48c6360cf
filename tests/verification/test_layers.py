"""What the layers say: looked for, or not and why; known, near, or strange."""

import numpy as np
import pytest

from src.core.register import Registered
from src.trust.extra import PRINTS, is_missing
from src.verification import explaining, layers
from src.verification.fingerprint import distance, fingerprint_of
from src.verification.register import HomeRegister, recall, register_file, remember

CODE = "0" * 64
NEAR, MAYBE, FAR = "f" * 5 + "0" * 59, "f" * 12 + "0" * 52, "f" * 20 + "0" * 44


def explained(watermark=None, fingerprint=None, register=()):
    found = {"watermark": watermark or {"found": False}, "fingerprint": fingerprint or
             {"found": False, "code": CODE}}  # fmt: skip
    return explaining.explained({"sentence": "Nothing.", "layers": found}, HomeRegister(register))


@pytest.mark.parametrize(("kept", "found", "words"), [
    (NEAR, True, "It looks like a.mp4: 20 of 256"),
    (MAYBE, False, "a person should compare"),
    (FAR, False, "No file of the register"),
])  # fmt: skip
def test_fingerprints_match_to_32_bits_and_ask_to_60(kept, found, words):
    layer = explained(register=[Registered("a.mp4", "h", fingerprint=kept)])["layers"][
        "fingerprint"
    ]
    assert layer["found"] == found and words in layer["sentence"]
    assert layer.get("ask", False) == (kept == MAYBE)


def test_a_mark_is_told_with_what_the_register_knows():
    mark = {"found": True, "id": "00000000000a", "key": "k", "decoded": True, "how": "mirrored"}
    known = Registered("a.mp4", "h", "00000000000a", "k", job="j1")
    told = explained(mark, register=[known])
    assert told["layers"]["watermark"]["known"]["job"] == "j1"
    assert "mirrored" in told["sentence"] and "a.mp4" in told["sentence"]
    strange = explained(dict(mark, key="other"), register=[known])["layers"]["watermark"]
    assert strange["known"] is None and "not in the register" in strange["sentence"]


def test_without_a_key_it_says_so(tmp_path):
    layer = layers._watermark(tmp_path / "a.mp4", (), {})
    assert layer["found"] is None and "no watermark key" in layer["why"]


def test_the_register_outlives_a_line_that_broke_off():
    first, second = Registered("a.mp4", "1", "a", "k"), Registered("b.mp4", "2", fingerprint=CODE)
    remember(first)
    with register_file().open("ab") as stream:
        stream.write(b'{"artifact": "c.m\n')
    remember(second)
    assert recall() == [first, second]
    assert HomeRegister().marks(["k", "other"]) == {"k": ["a"]}
    assert HomeRegister().marks(["other"]) == {}


def test_a_fingerprint_survives_another_size_and_tells_others(tmp_path, ffmpeg):
    if is_missing(*PRINTS):
        pytest.skip("fingerprints are an extra (requirements-trust.txt)")
    source = "testsrc2=size=160x120:rate=8:duration=3"
    one, small, other = (tmp_path / name for name in ("one.mp4", "small.mp4", "other.mp4"))
    ffmpeg("-f", "lavfi", "-i", source, one)
    ffmpeg("-i", one, "-vf", "scale=80:60", "-crf", 30, small)
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=160x120:rate=8", "-t", 3, other)
    codes = [fingerprint_of(path) for path in (one, small, other)]
    assert distance(codes[0], codes[1]) <= 32 and distance(codes[0], codes[2]) > 60
    assert np.all([len(code) == 64 for code in codes])


def test_a_clip_that_was_gone_on_with_tells_both_of_its_marks(tmp_path):
    from src.media.writer import VideoWriter
    from src.scenes.sampler import SceneSampler
    from src.watermark.embed import GROUP, embed_mark
    from src.watermark.keys import MarkKey
    from src.watermark.message import id_for, id_text

    key = MarkKey(b"\x03" * 32)
    first, second = id_for(key.secret, "one"), id_for(key.secret, "two")
    plain = SceneSampler(480, 320, 1, canvases=1).clip(0, 48).scene.frames()
    with VideoWriter(tmp_path / "a.mp4", 480, 320, 8) as writer:
        for at in range(0, 48, GROUP):
            number = first if at < 32 else second
            for frame in embed_mark(list(plain[at : at + GROUP]), key.secret, number):
                writer.write(frame)
        writer.commit()
    marks = {key.id: [id_text(first), id_text(second)]}
    layer = layers._watermark(tmp_path / "a.mp4", [key], marks)
    assert (layer["id"], layer["also"]) == (id_text(first), {"id": id_text(second), "key": key.id})
    told = explained(layer, register=[Registered("b.mp4", "h", id_text(second), key.id)])
    assert "At its end there is another" in told["sentence"] and "b.mp4" in told["sentence"]
