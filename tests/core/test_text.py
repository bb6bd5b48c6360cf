"""Text as other programs save it."""

import codecs
import json

import pytest

from src.core.errors import BadInputError
from src.core.text import guess, parse_json, read_json, read_text

TEXT = "caf\u00e9 \u2014 \u5e83\u5834"


@pytest.mark.parametrize(
    "data",
    [TEXT.encode(), codecs.BOM_UTF8 + TEXT.encode(), TEXT.encode("utf-16"),
     codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")],
)  # fmt: skip
def test_marks_are_read_and_dropped(tmp_path, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert read_text(tmp_path / "a.txt") == TEXT
    (tmp_path / "a.json").write_bytes(codecs.BOM_UTF8 + json.dumps([TEXT]).encode())
    assert read_json(tmp_path / "a.json") == [TEXT]


def test_other_bytes_are_a_sentence(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(BadInputError, match="byte 0xe9 at 3"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "text",
    ["caf\u00e9 at night", "Stra\u00dfe in K\u00f6ln", "it\u2019s \u201cnow\u201d in the newsroom"],
)
def test_western_captions_are_guessed(text):
    assert guess(text.encode("cp1252"), "a.txt") == (text, "Windows-1252")


@pytest.mark.parametrize(
    "data",
    ["\u0432\u0438\u0434 \u0433\u043e\u0440\u043e\u0434\u0430".encode("cp1251"),
     "\u591c\u306e\u6771\u4eac".encode("shift-jis"), "\u591c\u665a".encode("gbk"),
     "night".encode("utf-16-be"), b"\x81\x8d night"],
)  # fmt: skip
def test_other_captions_are_not_read_as_other_letters(data):
    with pytest.raises(BadInputError, match="no UTF-8 text"):
        guess(data, "a.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"a": 1}\n{"a": 2}\n', "JSON Lines"), ("id;prompt\n1;x\n", "table"), ("{,}", "Expecting"),
     ('[{"a": 1, "b": {"c": 1, "c": 2}}]', "'c' stands twice in one object"),
     ("", "it is empty"), (" \n", "it is empty"),
     ("[" * 100_000, "recursion")],
)  # fmt: skip
def test_the_right_form_is_told(text, words):
    with pytest.raises(BadInputError, match=f"x.json is not valid JSON.*{words}"):
        parse_json(text, "x.json")
