"""What a signed clip claims: actions, ingredient, our own assertion, as C2PA writes them. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.press_fields import press_assertion

GENERATION = "org.newsreel.generation"
"""The label of our own assertion: how the clip was made, for machines."""
RELEASE, PUBLISHED = "org.newsreel.release", "c2pa.published"
"""The label of our assertion on a release, and what C2PA calls one."""
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENLARGED, LABELLED = ("c2pa.resized", "enlarged"), ("c2pa.edited", "visible AI label added")
EXTENDED = ("c2pa.edited", "gone on with: generated frames added at the end")
SOFT_BINDING, MARK = "c2pa.soft-binding", "org.newsreel.watermark.1"
GENERATED, ENHANCED = "trainedAlgorithmicMedia", "algorithmicallyEnhanced"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
METADATA = "cawg.metadata"
INPUT = "input"
"""What ties an action to the ingredient while a claim is built."""


@dataclass(frozen=True)
class Claim:
    """Nothing in it is private: readers of the clip see all of it.

    source_type: a term of IPTC's digital source types. version: of Newsreel. facts: JSON of our own
    assertion. input: the photograph, or the video that was enlarged. title: what the input is
    called. change: what was done to the input, where that is a video: an action and words, such as
    ENLARGED. model: what made it, for the IPTC field "AI System Used". mark: id of the watermark
    and of its key, or None. press: what the photograph's file says of itself, by the names of
    `PressMetadata`.
    """

    source_type: str
    version: str
    model: str
    facts: dict[str, Any]
    input: Path
    title: str
    change: tuple[str, str] | None = None
    mark: tuple[str, str] | None = None
    press: Mapping[str, str] = field(default_factory=dict)


def definition(claim: Claim) -> dict[str, Any]:
    """The definition that c2pa's Builder takes. It has no title: a clip's usual name tells the
    prompt.
    """
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": _actions(claim)}},
        {"label": GENERATION, "data": claim.facts},
    ]
    if claim.mark:
        number, key = claim.mark
        blocks = [{"scope": {}, "value": f"{key}:{number}"}]
        assertions.append({"label": SOFT_BINDING, "data": {"alg": MARK, "blocks": blocks}})
    if claim.press:
        assertions.append({"label": METADATA, "data": press_assertion(claim.press)})
    maker = {"name": "Newsreel", "version": claim.version}
    return {"claim_generator_info": [maker], "assertions": assertions}


def ingredient(claim: Claim) -> dict[str, Any]:
    """What an enlarged video is made from is its parent; a photograph is put into a model."""
    relation = "parentOf" if claim.change else "inputTo"
    return {"title": claim.title, "relationship": relation, "label": INPUT, "instance_id": INPUT}


def _actions(claim: Claim) -> list[dict[str, Any]]:
    """The first action must be "created" or "opened" (C2PA specification, on actions)."""
    tied = {"ingredientIds": [INPUT]}
    source = {"digitalSourceType": TERMS + claim.source_type}
    bound = [{"action": "c2pa.watermarked.bound"}] if claim.mark else []
    if claim.change is None:
        return [{"action": "c2pa.created", "parameters": tied} | source, *bound]
    action, words = claim.change
    return [
        {"action": "c2pa.opened", "parameters": tied},
        {"action": action, "parameters": {"description": words}} | source,
        *bound,
    ]


def hash_of(text: str) -> str:
    """SHA-256 of a text as UTF-8. It hides a text that nobody can guess, and no other."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash_of_files(hashes: dict[str, str]) -> str:
    """One SHA-256 for the hashes of several files by name."""
    return hash_of(json.dumps(hashes, sort_keys=True, separators=(",", ":")))
