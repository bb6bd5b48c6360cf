"""What a JPEG's markers say before it is decoded: how many scans, and whether only its end marker
is missing.
"""

import re
import struct

START, END = b"\xff\xd8", b"\xff\xd9"
MARKER = re.compile(rb"\xff([\x01\xc0-\xcf\xd8-\xfe])")
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
SCAN = 0xDA
STUFFING = b"\xa5\x5a" * 256
"""Bytes that a decoder which still waits for data would take for data."""


def is_jpeg(data: bytes) -> bool:
    return data.startswith(START)


def scans(data: bytes) -> int:
    """Scans of a progressive JPEG; 1 for any other, whose scans cost no more than its pixels."""
    markers = _markers(data)
    if not any(marker in PROGRESSIVE for marker, _ in markers):
        return 1
    return sum(marker == SCAN for marker, _ in markers)


def _markers(data: bytes) -> list[tuple[int, int]]:
    """Marker codes and where each begins, of the picture itself: thumbnails inside segments are
    stepped over.
    """
    found, at = [], 2
    while (match := MARKER.search(data, at)) is not None:
        code, at = match[1][0], match.end()
        found.append((code, match.start()))
        if code == END[1]:
            break
        if code >= 0xC0 and code != START[1] and at + 2 <= len(data):
            at += max(2, struct.unpack(">H", data[at : at + 2])[0])
    return found


def ended(data: bytes) -> tuple[bytes, bytes] | None:
    """The file with an end marker, and once more with stuffing before it; None where it has an end,
    or lacks scans.

    Both decode to one picture where nothing but the marker is missing: a decoder that still waits
    for data would take the stuffing for it.
    """
    markers = _markers(data)
    if any(code == END[1] for code, _ in markers) or not _all_refined(data, markers):
        return None
    body = data.rstrip(b"\xff")
    return body + END, body + STUFFING + END


def _all_refined(data: bytes, markers: list[tuple[int, int]]) -> bool:
    """Whether a progressive file has the last bit of every coefficient of every component."""
    frame = next((at for code, at in markers if code in PROGRESSIVE), None)
    if frame is None:
        return True
    missing = {data[frame + 10 + 3 * index]: set(range(64)) for index in range(data[frame + 9])}
    for code, at in markers:
        if code == SCAN:
            count = data[at + 4]
            first, last, bits = data[at + 5 + 2 * count : at + 8 + 2 * count]
            if not bits & 15:
                for index in range(count):
                    missing.get(data[at + 5 + 2 * index], set()).difference_update(
                        range(first, last + 1)
                    )
    return not any(missing.values())
