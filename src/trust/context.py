"""How c2pa is set up, for signing and reading alike."""

from typing import Any

from src.trust.extra import load_extra

PURPOSES = {
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "documentSigning": "1.3.6.1.5.5.7.3.36",
    "C2PA claim signing": "1.3.6.1.4.1.62558.2.1",
}
"""Extended key usages of certificates that may sign; c2pa knows only some by itself."""


def make_context(anchors: str | None = None) -> Any:
    """A c2pa Context. anchors: roots to trust, PEM. It never fetches anything, and makes no
    thumbnails: of a PNG one takes 200 ms and 80 kB.
    """
    trust = {"trust_config": "\n".join(PURPOSES.values())}
    return load_extra("c2pa").Context.from_dict(
        {
            "builder": {"thumbnail": {"enabled": False}},
            "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
            "trust": trust | ({"trust_anchors": anchors} if anchors else {}),
        }
    )
