"""The texts of a press photograph that travel with what is made of it, as IPTC's fields. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
}


class Field(NamedTuple):
    """A property of XMP. kind: "" for plain text, "Alt" for one of several languages, "Seq"."""

    name: str
    kind: str = ""

    @property
    def tag(self) -> str:
        """As ElementTree names it."""
        space, _, name = self.name.partition(":")
        return f"{{{SPACES[space]}}}{name}"


FIELDS = {
    "headline": Field("photoshop:Headline"), "caption": Field("dc:description", "Alt"),
    "creator": Field("dc:creator", "Seq"), "credit": Field("photoshop:Credit"),
    "source": Field("photoshop:Source"), "rights": Field("dc:rights", "Alt"),
    "usage_terms": Field("xmpRights:UsageTerms", "Alt"), "data_mining": Field("plus:DataMining"),
    "constraints": Field("plus:OtherConstraints", "Alt"),
}  # fmt: skip
"""By the names of `PressMetadata` (IPTC Photo Metadata Standard 2025.1; PLUS data mining)."""
TERMS = "http://ns.useplus.org/ldf/vocab/"


def press_assertion(press: Mapping[str, str]) -> dict[str, Any]:
    """The texts as JSON-LD, for an assertion `cawg.metadata` (CAWG Metadata 1.1)."""
    told = {FIELDS[name].name: text for name, text in texts(press).items()}
    used = {name.partition(":")[0] for name in told}
    return {"@context": {name: SPACES[name] for name in sorted(used)}, **told}


def texts(press: Mapping[str, str]) -> dict[str, str]:
    """With the data mining term whole, as it is published."""
    term = press.get("data_mining")
    return {**press, "data_mining": TERMS + term} if term else dict(press)
