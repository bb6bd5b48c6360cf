"""Closed captions that lie inside the pictures (ATSC A/53): taken from a decoded frame, put into a
coded one.
"""

GA94 = bytes.fromhex("b500314741393403")
"""ITU-T T.35: United States, ATSC, user data "GA94", captions (ATSC A/53 part 4)."""
MOST = 31
"""Triplets that one message counts."""
CODES = {"libx264": ("h264", b"\x06"), "h264_nvenc": ("h264", b"\x06"),
         "libx265": ("hevc", b"\x4e\x01"), "hevc_nvenc": ("hevc", b"\x4e\x01")}  # fmt: skip
"""Encoders whose packets can carry captions: which code it is, and the header of a NAL unit with
messages."""


def with_captions(packet: bytes, captions: bytes, encoder: str) -> bytes:
    """A packet in Annex B form with messages before its first slice. captions: triplets as decoders
    give them.
    """
    kind, header = CODES[encoder]
    units = b"".join(
        _unit(captions[at : at + 3 * MOST], header) for at in range(0, len(captions), 3 * MOST)
    )
    place = _first_slice(packet, kind)
    return packet[:place] + units + packet[place:]


def _unit(triplets: bytes, header: bytes) -> bytes:
    body = GA94 + bytes([0x40 | len(triplets) // 3, 0xFF]) + triplets + b"\xff"
    return b"\0\0\0\1" + header + _escaped(b"\x04" + bytes([len(body)]) + body + b"\x80")


def _escaped(data: bytes) -> bytes:
    """With a 3 where two zeros would be taken for a start code (H.264, 7.4.1.1)."""
    out = bytearray()
    for byte in data:
        if byte <= 3 and out[-2:] == b"\0\0":
            out.append(3)
        out.append(byte)
    return bytes(out)


def _first_slice(packet: bytes, kind: str) -> int:
    """Where the start code of the first slice begins; the packet's end where there is none."""
    at = packet.find(b"\0\0\1")
    while 0 <= at < len(packet) - 3:
        byte = packet[at + 3]
        if 1 <= byte & 0x1F <= 5 if kind == "h264" else byte >> 1 & 0x3F < 32:
            return at - 1 if at and packet[at - 1] == 0 else at
        at = packet.find(b"\0\0\1", at + 3)
    return len(packet)
