"""What a mark says: 48 bits of an id, checked by CRC-16. Pure."""

import hashlib
import hmac

import numpy as np

from src.watermark.bch import DATA, encode

ID_BITS, CRC = 48, 0x1021
"""CRC-16/CCITT-FALSE: begins with 0xFFFF, not reflected."""


def id_for(key: bytes, digest: str) -> int:
    """The id of a clip: an HMAC of what it was made by, so that the same plan has the same."""
    made = hmac.new(key, b"newsreel watermark id " + digest.encode(), hashlib.sha256)
    return int.from_bytes(made.digest()[: ID_BITS // 8])


def id_text(number: int) -> str:
    """As people and registers have it: 12 hexadecimal digits."""
    return f"{number:012x}"


def word_of(number: int) -> np.ndarray:
    """(127,) uint8: the code word of an id."""
    told = number << 16 | crc16(number.to_bytes(ID_BITS // 8))
    return encode(np.array(list(f"{told:0{DATA}b}"), np.uint8))


def id_of(word: np.ndarray) -> int | None:
    """The id that a code word says; None where its CRC does not fit."""
    told = int("".join(map(str, word[:DATA].tolist())), 2)
    number = told >> 16
    return number if crc16(number.to_bytes(ID_BITS // 8)) == told & 0xFFFF else None


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (CRC if value & 0x8000 else 0)) & 0xFFFF
    return value
