"""Texts of the vocabulary that are more than a number or a word."""

import re

from src.core.errors import BadInputError

UNITS = {"GB": 10**9, "GIB": 2**30, "MB": 10**6, "MIB": 2**20}


def parse_bytes(text: str) -> int | None:
    """ "12GB" as bytes; None when the text is no amount of memory."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB)\s*", text, re.IGNORECASE)
    return round(float(match[1]) * UNITS[match[2].upper()]) if match else None


def parse_upscale(text: str) -> tuple[int, str | None] | None:
    """Scale and preset of "2x", "4x:fast" or "2x:ID/PRESET"; None where it is no such text.

    Which scales and presets there are is the catalog's to say (`src/catalog/upscalers.py`).
    """
    match = re.fullmatch(r"(\d{1,2})x(?::(\S{1,100}))?", text)
    return (int(match[1]), match[2]) if match else None


def parse_assignments(items: list[str]) -> dict[str, str]:
    """Turn `["city=Lyon"]` into `{"city": "Lyon"}`; raises BadInputError on an item without `=`."""
    for item in items:
        if not re.match(r"[A-Za-z_]\w*=", item):
            raise BadInputError(
                f"--set takes SLOT=VALUE, got {item!r}; for example --set city=Lyon"
            )
    return dict(item.split("=", 1) for item in items)
