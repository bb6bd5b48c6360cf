"""IPTC's fields on generated media as XMP, in the box where MP4 and MOV keep it. Pure, but for
`append_xmp`.

Box: XMP specification, part 3, on MPEG-4. Fields: IPTC Video Metadata Hub 1.7.
"""

import struct
from pathlib import Path
from xml.sax.saxutils import quoteattr

from src.trust.claim import TERMS, Claim

UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


def packet(claim: Claim) -> bytes:
    """The XMP packet, UTF-8. The prompt is not in it: it may hold what is private."""
    fields = {
        "DigitalSourceType": TERMS + claim.source_type,
        "AISystemUsed": f"Newsreel, {claim.model}",
        "AISystemVersionUsed": claim.version,
    }
    told = " ".join(f"Iptc4xmpExt:{name}={quoteattr(value)}" for name, value in fields.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{IPTC}" {told}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def append_xmp(file: Path, claim: Claim) -> None:
    """Write the box at the end of an MP4 or MOV, before it is signed: boxes that come later break
    the signature. Raises OSError.
    """
    data = UUID + packet(claim)
    with file.open("ab") as stream:
        stream.write(struct.pack(">I4s", 8 + len(data), b"uuid") + data)
