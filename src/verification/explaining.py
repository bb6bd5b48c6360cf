"""What was read of a file in each layer, in sentences, with what the register knows of it. Light:
the service imports it.
"""

from typing import Any

from src.verification.fingerprint import ASK, BITS, SAME, distance
from src.verification.register import Register


def explained(found: dict[str, Any], register: Register) -> dict[str, Any]:
    """With what the register knows of mark and fingerprint, and a sentence for each."""
    layers = found["layers"]
    _explain_mark(layers["watermark"], register)
    _explain_print(layers["fingerprint"], register)
    others = [layers[name] for name in ("watermark", "fingerprint") if layers[name]["found"]]
    sentence = " ".join([found["sentence"], *(each["sentence"] for each in others)])
    return found | {"sentence": sentence}


def _explain_mark(layer: dict[str, Any], register: Register) -> None:
    if not layer["found"]:
        layer["sentence"] = _absent("watermark", layer)
        return
    known = register.of_mark(layer["id"], layer["key"])
    layer["known"] = known.told() if known else None
    of = f", put into {known.artifact}" if known else ", which is not in the register"
    sure = "read" if layer["decoded"] else "recognised, though too weak to be read unknown,"
    layer["sentence"] = (
        f"A watermark of this installation was {sure} in the picture ({layer['how']}): it is "
        f"{layer['id']}{of}.{_at_the_end(layer, register)}"
    )


def _at_the_end(layer: dict[str, Any], register: Register) -> str:
    """The other mark of a clip that was gone on with."""
    if "also" not in layer:
        return ""
    known = register.of_mark(layer["also"]["id"], layer["also"]["key"])
    layer["also"]["known"] = known.told() if known else None
    of = f", put into {known.artifact}" if known else ", which is not in the register"
    return f" At its end there is another: {layer['also']['id']}{of}."


def _explain_print(layer: dict[str, Any], register: Register) -> None:
    code = layer.get("code")
    near = ((distance(code, other), other) for other in register.prints() if code)
    bits, print_ = min(near, default=(BITS, ""))
    known = register.of_print(print_) if bits <= ASK else None
    if known is None:
        layer["sentence"] = _absent("fingerprint", layer)
        return
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
