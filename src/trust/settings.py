"""What the operator says of signing: variables, read each time so that a running worker takes new
certificates.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import home, is_file
from src.core.text import read_text
from src.trust.extra import HOW, is_here

KEY = "NEWSREEL_SIGNING_KEY"
CERTIFICATE = "NEWSREEL_SIGNING_CERTIFICATE"
TIMESTAMP = "NEWSREEL_SIGNING_TIMESTAMP_URL"
CALLBACK = "NEWSREEL_SIGNING_CALLBACK"
ANCHORS = "NEWSREEL_TRUST_ANCHORS"
SIGNING, MARKING = "NEWSREEL_SIGN", "NEWSREEL_WATERMARK"
"""Whether the service signs and marks its clips: on or off."""
ON, OFF = ("on", "true", "1", "yes"), ("off", "false", "0", "no")
TRIAL = "signing"
"""The folder in the home for a certificate authority that is made on first use."""


@dataclass(frozen=True)
class SigningSettings:
    """key, certificate: PEM files, or None for the trial authority. timestamp: URL of an RFC 3161
    server, or None. callback: MODULE:FUNCTION that signs in the key's place, or None. The
    certificate's file holds the leaf first, then what issued it, without the
    root.
    """

    key: Path | None
    certificate: Path | None
    timestamp: str | None
    callback: str | None = None


def signing_settings() -> SigningSettings:
    """From the environment. Raises BadInputError where one of the two files is not named, or no URL
    is given; MissingFileError where a file is not there.
    """
    key, certificate, timestamp = (_said(name) for name in (KEY, CERTIFICATE, TIMESTAMP))
    callback = _said(CALLBACK)
    if callback and (key or not certificate):
        raise BadInputError(f"{CALLBACK} goes with {CERTIFICATE}, and without {KEY}")
    if not callback and (key is None) != (certificate is None):
        raise BadInputError(f"{KEY} and {CERTIFICATE} go together; set both or none")
    if timestamp and not timestamp.startswith(("http://", "https://")):
        raise BadInputError(f"{TIMESTAMP} is {timestamp!r}; it must be an http or https URL")
    return SigningSettings(_file(KEY, key), _file(CERTIFICATE, certificate), timestamp,
                           callback)  # fmt: skip


def is_switched_on(name: str) -> bool:
    """Of SIGNING and MARKING, which are on unless they are off. Raises BadInputError."""
    value = (_said(name) or "on").lower()
    if value not in (*ON, *OFF):
        raise BadInputError(f"{name} is {value!r}; it must be on or off")
    return value in ON


def signing_state() -> str:
    """Whether the service's clips are signed: "on", "off", or "off" and why."""
    if not is_switched_on(SIGNING):
        return "off"
    return "on" if is_here() else f"off: its packages are not installed ({HOW})"


def anchors() -> str | None:
    """The roots that verification trusts, as PEM: of the setting, else the trial authority's own
    root, where there is one; None for none.
    """
    given = _file(ANCHORS, _said(ANCHORS))
    trial = home() / TRIAL / "root.pem"
    path = given or (trial if is_file(trial) else None)
    return read_text(path) if path else None


def _said(name: str) -> str | None:
    return os.environ.get(name) or None


def _file(name: str, value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser()
    if not is_file(path):
        raise MissingFileError(f"{name}: there is no file {path}")
    return path
