"""IPTC's fields on generated media as XMP, in the box where MP4 and MOV keep it. Pure, but for
`append_xmp`.

Box: XMP specification, part 3, on MPEG-4. Fields: IPTC Video Metadata Hub 1.7.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from src.core.press_fields import FIELDS, SPACES, texts
from src.trust.claim import TERMS, Claim

UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MOST = 1 << 20
"""Bytes of a packet that is read."""
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


def packet(claim: Claim) -> bytes:
    """The XMP packet, UTF-8. The prompt is not in it: it may hold what is private."""
    fields = {
        "DigitalSourceType": TERMS + claim.source_type,
        "AISystemUsed": f"Newsreel, {claim.model}",
        "AISystemVersionUsed": claim.version,
    }
    told = " ".join(f"Iptc4xmpExt:{name}={quoteattr(value)}" for name, value in fields.items())
    spaces = " ".join(f'xmlns:{name}="{space}"' for name, space in SPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{IPTC}" {spaces} {told}>'
        f"{''.join(_elements(claim.press))}</rdf:Description>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def _elements(press: Mapping[str, str]) -> Iterator[str]:
    """The photograph's texts as XMP has them: plain, one of several languages, or a list."""
    for name, text in texts(press).items():
        field = FIELDS[name]
        inner = escape(text)
        if field.kind == "Alt":
            inner = f'<rdf:Alt><rdf:li xml:lang="x-default">{inner}</rdf:li></rdf:Alt>'
        elif field.kind == "Seq":
            inner = f"<rdf:Seq><rdf:li>{inner}</rdf:li></rdf:Seq>"
        yield f"<{field.name}>{inner}</{field.name}>"


def read_xmp(file: Path) -> bytes:
    """The packet of an MP4 or MOV; b"" where it has none. Raises OSError."""
    with file.open("rb") as stream:
        while len(head := stream.read(8)) == 8:
            size, kind, used = int.from_bytes(head[:4], "big"), head[4:], 8
            if size == 1:
                size, used = int.from_bytes(stream.read(8), "big"), 16
            if kind == b"uuid" and stream.read(16) == UUID:
                return stream.read(min(size - used - 16, MOST) if size else MOST)
            if size < used:  # the last one, or no box at all
                break
            stream.seek(size - used - (16 if kind == b"uuid" else 0), 1)
    return b""


def append_xmp(file: Path, claim: Claim) -> None:
    """Write the box at the end of an MP4 or MOV, before it is signed: boxes that come later break
    the signature. Raises OSError.
    """
    data = UUID + packet(claim)
    with file.open("ab") as stream:
        stream.write(struct.pack(">I4s", 8 + len(data), b"uuid") + data)
