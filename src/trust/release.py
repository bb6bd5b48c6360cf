"""A signed clip that tells of its release: the clip's record with one more on top, which says
`c2pa.published`, when, and which file was approved. Picture and sound stay the same bytes.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import src
from src.trust.claim import PUBLISHED, RELEASE
from src.trust.context import make_context
from src.trust.extra import load_extra
from src.trust.reading import EXPIRED_STATE, TRUSTED, UNKNOWN, read_provenance
from src.trust.settings import anchors
from src.trust.signer import signatory
from src.trust.signing import FORMATS, stamped

WHOLE = (TRUSTED, UNKNOWN, EXPIRED_STATE)
"""Records on which another is put: one that does not hold is left as it is."""


def can_tell(clip: Path) -> bool:
    """Whether its container and its own record take one of its release."""
    return clip.suffix.lower() in FORMATS and read_provenance(clip, anchors()).state in WHOLE


def tell_of_release(clip: Path, target: Path, facts: dict[str, str]) -> None:
    """Write `target`. facts: our own assertion, such as {"approved_sha256": ...}; all of it is
    public. Raises BadInputError where it cannot be signed, and OSError.
    """
    c2pa, who = load_extra("c2pa"), signatory()
    form = FORMATS[clip.suffix.lower()]

    def sign(stamp: bool) -> None:
        builder = c2pa.Builder(_definition(facts), make_context(anchors()))
        builder.set_intent(c2pa.C2paBuilderIntent.UPDATE)
        with clip.open("rb") as source, target.open("w+b") as written:
            builder.sign(who.signer(stamp), form, source, written)

    stamped(who, sign)


def _definition(facts: dict[str, str]) -> dict[str, Any]:
    """c2pa itself adds that the clip was opened, and the clip as parent."""
    now = datetime.fromtimestamp(int(time.time()), UTC).isoformat().replace("+00:00", "Z")
    actions = {"actions": [{"action": PUBLISHED, "when": now}]}
    return {
        "claim_generator_info": [{"name": "Newsreel", "version": src.__version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": actions},
                       {"label": RELEASE, "data": facts}],
    }  # fmt: skip
