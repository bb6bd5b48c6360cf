"""What a photograph's file says that it shows: IPTC's caption or headline, as agencies write them.

IPTC IIM (records 2:120 and 2:105) is read by Pillow; in XMP the same are dc:description and
photoshop:Headline (IPTC Photo Metadata Standard 2024.1, "Description" and "Headline").
"""

from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageFile, IptcImagePlugin

CAPTION, HEADLINE, CHARSET = (2, 120), (2, 105), (1, 90)
UTF8 = b"\x1b%G"
SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
MOST_XMP = 1 << 20
DAMAGED = (
    OSError, RuntimeError, SyntaxError, ValueError, LookupError, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow and its plugins raise for damaged pictures, OSError without a number too."""


def press_caption(path: Path) -> str:
    """The caption, else the headline, in one line; "" where the file has neither.

    Raises OSError where the system cannot read it; a picture of another kind, or damaged, has no
    caption.
    """
    try:
        with Image.open(path) as image:
            found = _iim(image) or _xmp(image.info.get("xmp") or b"")
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return ""
    return " ".join(found.split())


def _iim(image: ImageFile.ImageFile) -> str:
    told = IptcImagePlugin.getiptcinfo(image) or {}
    encoding = "utf-8" if told.get(CHARSET) == UTF8 else "latin-1"
    for record in (CAPTION, HEADLINE):
        value = told.get(record)
        value = value[0] if isinstance(value, list) else value
        if isinstance(value, bytes) and value.strip():
            return _text(value, encoding)
    return ""


def _text(value: bytes, encoding: str) -> str:
    """Many programs write UTF-8 and do not say so."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode(encoding, errors="replace")


def _xmp(data: bytes | str) -> str:
    data = data.encode() if isinstance(data, str) else data
    if not data or len(data) > MOST_XMP or b"<!" in data:  # no document types, no entities
        return ""
    try:
        tree = ElementTree.fromstring(data.strip(b"\x00 \n"))
    except ElementTree.ParseError:
        return ""
    described = tree.find(".//dc:description//rdf:li", SPACES)
    if described is not None and (described.text or "").strip():
        return described.text or ""
    headline = f"{{{SPACES['photoshop']}}}Headline"
    return next((each.get(headline, "") for each in tree.iter() if each.get(headline)), "")
