"""What a mark says: 48 bits of an id, checked by CRC-16. Pure."""

import hashlib
import hmac
from collections.abc import Sequence

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


def words_of(numbers: Sequence[int]) -> np.ndarray:
    """(N, 127) int8 of -1 and 1: the code words of many ids. Code and CRC are linear but for a
    constant, so that each is a sum of the words of its bits.
    """
    zero = word_of(0)
    of_bits = np.stack([word_of(1 << bit) ^ zero for bit in range(ID_BITS)]).astype(np.float32)
    given = np.asarray(numbers, np.uint64)[:, None] >> np.arange(ID_BITS, dtype=np.uint64)
    made = np.empty((len(numbers), len(zero)), np.int8)
    for at in range(0, len(numbers), AT_ONCE):
        bits = (given[at : at + AT_ONCE] & np.uint64(1)).astype(np.float32)
        made[at : at + AT_ONCE] = (((bits @ of_bits).astype(np.int32) + zero) % 2) * 2 - 1
    return made


AT_ONCE = 1 << 15


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
