"""What a photograph's file says of itself, and those that forbid use by AI."""

import pytest
from PIL import Image

from src.core.errors import BadInputError
from src.media.images import check_photograph, read_photograph
from src.media.press_metadata import NOTHING, check_rights, of_xmp, press_metadata
from src.worker.wall import Wall
from tests.engine.test_watching import jpeg

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Credit="Agency/AG" {attributes}>
 <dc:creator><rdf:Seq><rdf:li>Ann Able</rdf:li><rdf:li>Second</rdf:li></rdf:Seq></dc:creator>
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Agency 2026</rdf:li></rdf:Alt></dc:rights>
 <xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang="x-default">Editorial use</rdf:li></rdf:Alt>
 </xmpRights:UsageTerms>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>"""
TERM = "http://ns.useplus.org/ldf/vocab/"


def xmp(term="", form="attribute"):
    attribute = f'plus:DataMining="{TERM}{term}"' if term and form == "attribute" else ""
    element = {
        "element": f"<plus:DataMining>{TERM}{term}</plus:DataMining>",
        "resource": f'<plus:DataMining rdf:resource="{TERM}{term}"/>',
    }.get(form, "") if term else ""  # fmt: skip
    return XMP.format(attributes=attribute, elements=element).encode()


def test_fields_of_both_kinds_are_read(tmp_path):
    path = jpeg(tmp_path / "a.jpg", ((2, 105), b"Flood"), ((2, 80), b"Old Name"), xmp=xmp())
    found = press_metadata(path.read_bytes())
    assert found.told == {
        "headline": "Flood", "creator": "Ann Able", "credit": "Agency/AG",
        "rights": "(c) Agency 2026", "usage_terms": "Editorial use",
    }  # fmt: skip
    assert read_photograph(path).press == check_photograph(path.read_bytes(), "x").press == found


@pytest.mark.parametrize("form", ["attribute", "element", "resource"])
@pytest.mark.parametrize(
    ("term", "forbids"),
    [("DMI-PROHIBITED", True), ("DMI-PROHIBITED-AIMLTRAINING", True),
     ("DMI-PROHIBITED-GENAIMLTRAINING", True), ("DMI-PROHIBITED-SEECONSTRAINT", True),
     ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", True), ("DMI-ALLOWED", False),
     ("DMI-UNSPECIFIED", False), ("", False)],
)  # fmt: skip
def test_what_forbids_use_by_ai(tmp_path, term, forbids, form):
    press = press_metadata(jpeg(tmp_path / "a.jpg", xmp=xmp(term, form)).read_bytes())
    assert (press.data_mining, press.forbids_ai) == (term, forbids)
    check_rights(press, "the picture desk asked the agency" if forbids else None)
    if not forbids:
        return
    with pytest.raises(BadInputError, match=f"of Agency/AG forbids .* {term}; use another"):
        check_rights(press, " ")


@pytest.mark.parametrize(
    "change",
    [lambda packet: packet.replace(b"<rdf:RDF", b"<!-- a remark --><rdf:RDF", 1),
     lambda packet: packet.decode().encode("utf-16"),
     lambda packet: packet.replace(b"DMI-PROHIBITED", b"dmi-Prohibited"),
     lambda packet: packet.replace(b"DMI-PROHIBITED", b"DMI-PROHIBITED/"),
     lambda packet: packet.replace(b"</x:xmpmeta>", b"<broken"),
     lambda packet: b"<!DOCTYPE a>" + packet,
     lambda packet: packet + b"\n" + b" " * 40 + b"\n\x00"],
)  # fmt: skip
def test_unusual_packets_forbid_as_well(change):
    assert of_xmp(change(xmp("DMI-PROHIBITED"))).forbids_ai
    assert not of_xmp(change(xmp("DMI-ALLOWED"))).forbids_ai


def test_a_packet_that_is_too_long_is_looked_through():
    assert of_xmp(b" " * (1 << 20) + xmp("DMI-PROHIBITED")).forbids_ai


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_other_formats_hold_it_too(tmp_path, suffix):
    from PIL import PngImagePlugin

    path, image = tmp_path / f"a{suffix}", Image.new("RGB", (8, 8))
    if suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp("DMI-PROHIBITED").decode())
        image.save(path, pnginfo=info)
    elif suffix == ".webp":
        image.save(path, xmp=xmp("DMI-PROHIBITED"))
    else:
        image.save(path, tiffinfo={700: xmp("DMI-PROHIBITED")})
    assert press_metadata(path.read_bytes()).forbids_ai


def test_it_comes_through_the_wall(tmp_path):
    path, wall = jpeg(tmp_path / "a.jpg", xmp=xmp("DMI-PROHIBITED")), Wall()
    try:
        assert wall.check_photograph(path.read_bytes(), "image").press.forbids_ai
        assert wall.read_photograph(path).press.credit == "Agency/AG"
    finally:
        wall.close()


def test_long_broken_and_empty_ones(tmp_path):
    assert press_metadata(b"no picture") == NOTHING
    long = press_metadata(jpeg(tmp_path / "a.jpg", ((2, 120), b"x" * 9000)).read_bytes())
    assert len(long.caption) == 2000
    assert press_metadata(jpeg(tmp_path / "b.jpg", xmp=b"<x").read_bytes()) == NOTHING
