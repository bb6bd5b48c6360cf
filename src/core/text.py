"""The one reader of text and JSON that people wrote, whatever program saved it."""

import codecs
import json
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: Path) -> str:
    """UTF-8 with or without its mark, or UTF-16 with one. Raises BadInputError naming the file."""
    try:
        return decode_text(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None


def decode_text(data: bytes, name: str) -> str:
    """Like `read_text`, from the bytes of a file called `name`."""
    mark, encoding = next(
        ((mark, text) for mark, text in MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{name} is no UTF-8 text (byte {data[len(mark) + error.start]:#04x} at "
            f"{error.start}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise BadInputError(
            f"{name} is no UTF-8 text: it has zero bytes, as UTF-16 without its mark; save it as "
            "UTF-8"
        )
    return text


def read_json(path: Path, wanted: str = "JSON") -> Any:
    """What a JSON file holds. wanted: what the file should be, for the error's sentence."""
    return parse_json(read_text(path), str(path), wanted)


def parse_json(text: str, name: str, wanted: str = "JSON") -> Any:
    """Like `read_json`, from the text of a file called `name`; lines of JSON and tables are told
    the right form.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name} is not valid {wanted}: {_form(text) or error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises ValueError where a name stands twice: one of the two would be lost."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return made


def _form(text: str) -> str:
    """What the text is instead, and the right form; "" where that is not plain."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return "it is empty"
    if len(lines) > 1 and all(_is_object(line) for line in lines[:5]):
        return (
            "it is JSON Lines, one object a line; write them as one list: [ before, ] after, a "
            "comma between"
        )
    if lines[0][:1] not in "{[" and any(mark in lines[0] for mark in ",;\t"):
        return (
            'it looks like a table (CSV); write a JSON list of objects instead: [{"column": '
            '"value"}, ...]'
        )
    return ""


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def guess(data: bytes, name: str) -> tuple[str, str | None]:
    """Text of a caption, and the encoding that was guessed where it is no UTF-8: Windows-1252, of
    Western languages.

    Raises BadInputError where neither can be: other code pages would be read as other letters.
    """
    try:
        return decode_text(data, name), None
    except BadInputError:
        if not _western(data):
            raise
    return data.decode("cp1252"), "Windows-1252"


def _western(data: bytes) -> bool:
    """Few letters beyond ASCII, never three in a row, and all of them letters or marks of
    Windows-1252.
    """
    runs = [
        run for run in "".join("x" if byte > 127 else " " for byte in data).split() if len(run) > 2
    ]
    high, letters = (
        sum(byte > 127 for byte in data),
        sum(chr(byte).isalpha() for byte in data if byte < 128),
    )
    try:
        shown = data.decode("cp1252").replace("\n", "").replace("\r", "").replace("\t", "")
    except UnicodeDecodeError:
        return False
    return not runs and high <= letters / 3 and shown.isprintable()
