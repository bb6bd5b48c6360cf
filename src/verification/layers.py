"""What the layers watermark and fingerprint say of a file: found here, where strangers' files are
decoded, and told in sentences there, where the register is.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError
from src.core.register import Registered
from src.trust.extra import HOW, PRINTS, missing
from src.trust.verdict import verify as verify_signature
from src.verification.fingerprint import ASK, BITS, SAME, distance, fingerprint_of
from src.verification.frames import mean_pictures
from src.watermark.detect import Finding, Known, detect
from src.watermark.keys import MarkKey

SEARCH_S = 2.0
"""Seconds that the search for a mark may take in all; what needs none is tried beyond."""


def read_layers(
    path: Path,
    anchors: str | None,
    keys: Sequence[MarkKey],
    marks: Mapping[str, Sequence[str]],
    prints: bool,
) -> dict[str, Any]:
    """As `src.trust.verdict.verify`, and the other layers as they were read. marks: ids that are
    registered, by their key's id. prints: whether a fingerprint is to be taken. Raises as it.
    """
    found = verify_signature(path, anchors)
    found["layers"] |= {
        "watermark": _watermark(path, keys, marks),
        "fingerprint": _print(path, prints),
    }
    return found


def explained(found: dict[str, Any], register: Sequence[Registered]) -> dict[str, Any]:
    """With what the register knows of mark and fingerprint, and a sentence for each."""
    layers = found["layers"]
    _explain_mark(layers["watermark"], register)
    _explain_print(layers["fingerprint"], register)
    others = [layers[name] for name in ("watermark", "fingerprint") if layers[name]["found"]]
    sentence = " ".join([found["sentence"], *(each["sentence"] for each in others)])
    return found | {"sentence": sentence}


def marks_among(register: Sequence[Registered]) -> dict[str, list[str]]:
    """Ids by the id of their key."""
    marks: dict[str, list[str]] = {}
    for each in register:
        if each.mark:
            marks.setdefault(each.key, []).append(each.mark)
    return {key: list(dict.fromkeys(ids)) for key, ids in marks.items()}


def _watermark(
    path: Path, keys: Sequence[MarkKey], marks: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    if not keys:
        return {"found": None, "built": True, "why": "this installation has no watermark key"}
    known = {key: Known.of([int(each, 16) for each in ids]) for key, ids in marks.items()}
    try:
        until = time.monotonic() + SEARCH_S
        means = mean_pictures(path)
        found = next(filter(None, (detect(mean, keys, known, until) for mean in means)), None)
    except BadInputError as error:
        return {"found": None, "built": True, "why": f"no picture can be read ({error})"}
    return {"found": found is not None, "built": True} | (_told(found) if found else {})


def _told(found: Finding) -> dict[str, Any]:
    return {"id": found.id, "key": found.key, "confidence": round(found.deviations, 1),
            "decoded": found.read, "how": found.how}  # fmt: skip


def _print(path: Path, wanted: bool) -> dict[str, Any]:
    if missing(*PRINTS):
        return {"found": None, "built": True, "why": f"its packages are not installed ({HOW})"}
    if not wanted:
        return {"found": None, "built": True, "why": "the register holds none to compare with"}
    try:
        return {"found": False, "built": True, "code": fingerprint_of(path)}
    except BadInputError as error:
        return {"found": None, "built": True, "why": f"no picture can be read ({error})"}


def _explain_mark(layer: dict[str, Any], register: Sequence[Registered]) -> None:
    if not layer["found"]:
        layer["sentence"] = _absent("watermark", layer)
        return
    known = [each for each in register if (each.mark, each.key) == (layer["id"], layer["key"])]
    layer["known"] = known[0].told() if known else None
    of = f", put into {known[0].artifact}" if known else ", which is not in the register"
    sure = "read" if layer["decoded"] else "recognised, though too weak to be read unknown,"
    layer["sentence"] = (
        f"A watermark of this installation was {sure} in the picture ({layer['how']}): it is "
        f"{layer['id']}{of}."
    )


def _explain_print(layer: dict[str, Any], register: Sequence[Registered]) -> None:
    code = layer.get("code")
    near = [
        (distance(code, each.fingerprint), each) for each in register if each.fingerprint and code
    ]
    if not near or (best := min(near, key=lambda each: each[0]))[0] > ASK:
        layer["sentence"] = _absent("fingerprint", layer)
        return
    bits, known = best
    layer |= {"found": bits <= SAME, "distance": bits, "known": known.told()}
    layer["ask"] = bits > SAME
    layer["sentence"] = (
        f"It looks like {known.artifact}: {bits} of {BITS} bits of the fingerprint differ."
        if bits <= SAME else
        f"It may be made of {known.artifact} ({bits} of {BITS} bits of the fingerprint differ): a "
        "person should compare them."
    )  # fmt: skip


def _absent(name: str, layer: dict[str, Any]) -> str:
    if "why" in layer:
        return f"{name}: not looked for: {layer['why']}."
    if name == "watermark":
        return ("No watermark of this installation was found. That proves nothing: strong changes "
                "remove it, and other makers' marks are not read here.")  # fmt: skip
    return "No file of the register looks like it."
