"""What c2pa's reader found wrong, gathered from all places, in words. Pure.

A clip whose photograph was changed is still "Trusted": the failure stands in the ingredient's own
results alone, so that all of them are walked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UNKNOWN, EXPIRED = "signingCredential.untrusted", "signingCredential.expired"
CLIP, RECORD, INGREDIENT, SIGNER = "the file", "the signed record", "an ingredient", "the signer"
WORDS = {
    UNKNOWN: (SIGNER, "nobody here vouches for its certificate"),
    EXPIRED: (SIGNER, "its certificate has ended"),
    "assertion.bmffHash.": (CLIP, "its picture, sound or index is not what was signed"),
    "assertion.dataHash.": (CLIP, "its bytes are not those that were signed"),
    "assertion.boxesHash.": (CLIP, "its bytes are not those that were signed"),
    "assertion.collectionHash.": (CLIP, "its parts are not those that were signed"),
    "claimSignature.": (RECORD, "its signature does not fit"),
    "signingCredential.": (SIGNER, "its certificate may not sign, or was called back"),
    "timeStamp.": (SIGNER, "its time stamp does not hold"),
}
REST = (RECORD, "it was changed, or a part of it is missing")


@dataclass(frozen=True)
class Failure:
    """code: of the C2PA specification, on validation. where: "the file", "the signed record", "the
    signer", or "an ingredient" (the photograph, or the video that was enlarged). what: in words.
    """

    code: str
    where: str
    what: str

    @property
    def contradicts(self) -> bool:
        """Whether something is not as it was signed. A signer whom nobody here vouches for, or
        whose certificate ended since, proves nothing, but contradicts nothing.
        """
        return self.code not in (UNKNOWN, EXPIRED)


def all_failures(told: dict[str, Any]) -> list[Failure]:
    """From the reader's JSON: of the clip's own manifest, then of all ingredients, however deep."""
    results = told.get("validation_results") or {}
    own = [_failure(code, inside=False) for code in _codes(results.get("activeManifest"))]
    inside = [*_codes(results.get("ingredientDeltas"))]
    for manifest in (told.get("manifests") or {}).values():
        inside += _codes(manifest.get("ingredients"))
    kept = dict.fromkeys([*own, *(_failure(code, inside=True) for code in inside)])
    return list(kept)


def _codes(found: Any) -> Iterator[str]:
    """The codes in every list called "failure" of nested JSON."""
    if isinstance(found, list):
        for each in found:
            yield from _codes(each)
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "failure":
                yield from (str(each.get("code")) for each in value)
            elif name in CARRIERS:
                yield from _codes(value)


CARRIERS = ("activeManifest", "ingredientDeltas", "validationDeltas", "validation_results")


def _failure(code: str, inside: bool) -> Failure:
    begin = next((begin for begin in WORDS if code.startswith(begin)), "")
    where, what = WORDS.get(begin, REST)
    if not inside:
        return Failure(code, where, what)
    what = what if where == CLIP else f"{where.removeprefix('the ')}: {what}"
    return Failure(code, INGREDIENT, what)
