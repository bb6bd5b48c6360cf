"""What a photograph's file says of itself, as agencies write it: caption, credit, rights, and
whether it may be used by AI.

IPTC Photo Metadata Standard 2025.1, in IIM (read by Pillow) and in XMP. Of each field XMP is taken
first, as the standard's Metadata Working Group advises for what both hold.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageFile, IptcImagePlugin

from src.core.config import Config
from src.core.errors import BadInputError
from src.core.press_fields import FIELDS

CHARSET = (1, 90)
UTF8 = b"\x1b%G"
IIM = {"headline": (2, 105), "caption": (2, 120), "creator": (2, 80), "credit": (2, 110),
       "source": (2, 115), "rights": (2, 116)}  # fmt: skip
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FORBIDDEN = "DMI-PROHIBITED"
"""How the terms begin that forbid something (PLUS License Data Format, data mining values)."""
MOST_XMP, MOST_TEXT = 1 << 20, 2000
DAMAGED = (
    OSError, RuntimeError, SyntaxError, ValueError, LookupError, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow and its plugins raise for damaged pictures, OSError without a number too."""


class PressMetadata(Config):
    """Texts of a photograph, each in one line and cut at 2,000 characters; "" for what is not
    there.

    usage_terms: what its licence allows. data_mining: PLUS's term, such as "DMI-PROHIBITED".
    constraints: in words, where the term points to them.
    """

    headline: str = ""
    caption: str = ""
    creator: str = ""
    credit: str = ""
    source: str = ""
    rights: str = ""
    usage_terms: str = ""
    data_mining: str = ""
    constraints: str = ""

    @property
    def told(self) -> dict[str, str]:
        """What is there."""
        return {name: text for name, text in self.model_dump().items() if text}

    @property
    def forbids_ai(self) -> bool:
        """Whether it keeps the picture from machine learning or generation of any kind: whoever
        wrote it does not want it made into a clip unasked.
        """
        return self.data_mining.startswith(FORBIDDEN)


NOTHING = PressMetadata()


def check_rights(press: PressMetadata, reason: str | None) -> None:
    """Raise BadInputError where the photograph forbids use by AI and nobody said why it is used all
    the same.
    """
    if press.forbids_ai and not (reason or "").strip():
        whose = press.credit or press.creator or press.rights
        of = f" of {whose[:80]}" if whose else ""
        more = f" ({press.constraints[:200]})" if press.constraints else ""
        raise BadInputError(
            f"the photograph{of} forbids use by AI: its data mining property is "
            f"{press.data_mining}{more}; use another, or give rights_reason: who allowed it"
        )


def press_caption(path: Path) -> str:
    """The caption, else the headline, in one line; "" where the file has neither.

    Raises OSError where the system cannot read it; a picture of another kind, or damaged, has no
    caption.
    """
    found = press_metadata(Path(path).read_bytes())
    return found.caption or found.headline


def press_metadata(data: bytes) -> PressMetadata:
    """What the file says; nothing where it is damaged or of another kind."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return of_image(image)
    except DAMAGED:
        return NOTHING


def of_image(image: ImageFile.ImageFile | Image.Image) -> PressMetadata:
    """What an opened picture says."""
    return _in_lines(_iim(image) | _xmp(image.info.get("xmp") or b""))


def of_xmp(packet: bytes) -> PressMetadata:
    """What an XMP packet says; nothing where it is none."""
    return _in_lines(_xmp(packet))


def _in_lines(told: dict[str, str]) -> PressMetadata:
    lines = {name: " ".join(text.split())[:MOST_TEXT] for name, text in told.items()}
    return PressMetadata(**lines)


def _iim(image: ImageFile.ImageFile | Image.Image) -> dict[str, str]:
    try:
        told = IptcImagePlugin.getiptcinfo(image) or {}  # type: ignore[arg-type]
    except DAMAGED:
        return {}
    encoding = "utf-8" if told.get(CHARSET) == UTF8 else "latin-1"
    found = {}
    for name, record in IIM.items():
        value = told.get(record)
        value = value[0] if isinstance(value, list) else value
        if isinstance(value, bytes) and value.strip():
            found[name] = _text(value, encoding)
    return found


def _text(value: bytes, encoding: str) -> str:
    """Many programs write UTF-8 and do not say so."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode(encoding, errors="replace")


def _xmp(data: bytes | str) -> dict[str, str]:
    data = data.encode() if isinstance(data, str) else data
    if not data:
        return {}
    if len(data) > MOST_XMP:
        return _by_words(data)
    try:
        tree = _tree(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        return _by_words(data)
    values = {name: next(_values(tree, field.tag), "") for name, field in FIELDS.items()}
    values["data_mining"] = _term(values["data_mining"])
    return {name: text for name, text in values.items() if text}


DECLARED = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
"""What XMP has no use for, and attacks have."""
WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")
"""How UTF-16 begins."""


def _tree(packet: bytes) -> ElementTree.Element:
    """Raises ParseError or ValueError for what is no XML, or declares types or entities."""
    if DECLARED.search(packet.replace(b"\x00", b"")):
        raise ValueError("a document type")
    whole = packet if packet.startswith(WIDE) else packet.strip(b"\x00 \n\r\t")
    return ElementTree.fromstring(whole)


def _term(text: str) -> str:
    return text.strip().rstrip("/").rpartition("/")[2].upper()


def _by_words(packet: bytes) -> dict[str, str]:
    """Of a packet that cannot be read as XML: only what forbids, wherever it stands."""
    plain = packet.replace(b"\x00", b"").upper()
    found = re.search(rb"DMI-PROHIBITED[A-Z-]*", plain)
    return {"data_mining": found[0].decode()} if found else {}


def _values(tree: ElementTree.Element, key: str) -> Iterator[str]:
    """Of a property: an attribute, an element's text or resource, or the entries of its list."""
    for each in tree.iter():
        yield from filter(None, [each.get(key, "").strip()])
        if each.tag == key:
            entries = [entry.text for entry in each.iter(f"{{{RDF}}}li")]
            for text in (each.get(f"{{{RDF}}}resource"), *entries, each.text):
                if text and text.strip():
                    yield text.strip()
