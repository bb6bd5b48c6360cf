"""Who signs: key and certificate of the settings, or a trial authority in the home."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger

from src.core.errors import BadInputError
from src.core.paths import home, is_folder
from src.trust.authority import own_authority
from src.trust.extra import load_extra
from src.trust.settings import CALLBACK, CERTIFICATE, KEY, TIMESTAMP, TRIAL, signing_settings

SOON = timedelta(days=30)
RAW = 64
"""Bytes of a raw signature by ECDSA P-256."""
CURVES = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}


@dataclass(frozen=True)
class Signatory:
    """key, certificates: PEM; the leaf first. callback: signs in the key's place, which is None
    then: from bytes to 64 bytes, r and s (ECDSA P-256 over SHA-256). algorithm: of C2PA, such as
    b"es256". timestamp: URL of an RFC 3161 server, or None. ends: when the certificate does.
    """

    key: bytes | None
    certificates: bytes
    algorithm: bytes
    timestamp: str | None
    ends: datetime
    callback: "Callback | None" = None

    @property
    def trouble(self) -> str:
        """What the callback said of itself when it failed, or ""."""
        return self.callback.trouble if self.callback else ""

    def signer(self, stamped: bool = True) -> Any:
        """A new c2pa Signer. stamped: with a time stamp, where a server is set."""
        c2pa = load_extra("c2pa")
        url = self.timestamp.encode() if stamped and self.timestamp else None
        if self.callback is not None:
            return c2pa.Signer.from_callback(
                self.callback, c2pa.C2paSigningAlg.ES256, self.certificates.decode(),
                url.decode() if url else None,
            )  # fmt: skip
        info = c2pa.C2paSignerInfo(self.algorithm, self.certificates, self.key, url)
        return c2pa.Signer.from_info(info)

    def warning(self, now: datetime) -> str | None:
        """What a person should know of the certificate's end, or None. A clip with a time stamp
        outlives it; one without reads as invalid then.
        """
        if self.timestamp or self.ends - now > SOON:
            return None
        return (
            f"the signing certificate ends on {self.ends:%Y-%m-%d}, and clips that are signed "
            f"without a time stamp read as invalid from then on; set {TIMESTAMP}, or renew it"
        )


def signatory() -> Signatory:
    """By the settings; without them a trial authority, made on first use. Raises BadInputError with
    one sentence where a certificate cannot sign.
    """
    settings = signing_settings()
    if settings.callback and settings.certificate:
        return _by_callback(settings.callback, settings.certificate, settings.timestamp)
    if settings.key is None or settings.certificate is None:
        folder = trial_authority()
        return read_signatory(folder / "leaf.key", folder / "chain.pem", settings.timestamp)
    return read_signatory(settings.key, settings.certificate, settings.timestamp)


def makes_trial() -> bool:
    """Whether the first clip will make a trial authority: nothing is set, and none is there."""
    settings = signing_settings()
    return settings.certificate is None and not is_folder(home() / TRIAL)


def trial_authority() -> Path:
    """The folder of the home's own authority, made where it is not there, and then said so."""
    folder = home() / TRIAL
    if own_authority(folder):
        logger.warning(
            f"{KEY} and {CERTIFICATE} are not set: a trial certificate authority was made in "
            f"{folder}; others will not trust its signatures unless they configure its root.pem"
        )
    return folder


def read_signatory(key: Path, certificate: Path, timestamp: str | None) -> Signatory:
    """From PEM files. Raises BadInputError."""
    chain, secret = _bytes(certificate), _bytes(key)
    leaf = _leaf(certificate, chain)
    own, ends = _private(key, secret), leaf.not_valid_after_utc
    if own.public_key() != leaf.public_key():
        raise BadInputError(f"{key} is not the key of the first certificate in {certificate}")
    return Signatory(secret, chain, _algorithm(key, own), timestamp, ends)


def _leaf(certificate: Path, chain: bytes) -> Any:
    """The first certificate. Raises BadInputError where there is none, or it has ended."""
    try:
        leaf = load_extra("cryptography.x509").load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise BadInputError(f"{certificate} holds no certificate in PEM: {error}") from None
    if (ends := leaf.not_valid_after_utc) < datetime.now(UTC):
        raise BadInputError(
            f"the signing certificate {certificate} ended on {ends:%Y-%m-%d}; get a new one (of an "
            "own authority: python -m src.certificates FOLDER --renew)"
        )
    return leaf


def _by_callback(name: str, certificate: Path, timestamp: str | None) -> Signatory:
    """Whose key lies elsewhere: in an HSM, or behind a service."""
    chain = _bytes(certificate)
    ends = _leaf(certificate, chain).not_valid_after_utc
    return Signatory(None, chain, b"es256", timestamp, ends, Callback(name, _function(name)))


def _function(name: str) -> Callable[[bytes], bytes]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInputError(f"{CALLBACK} is {name!r}, which cannot be loaded: {error}; it must be "
                            "MODULE:FUNCTION") from None  # fmt: skip
    return found


@dataclass
class Callback:
    """What c2pa calls with the bytes to sign. What goes wrong is kept: of an exception c2pa says
    only that the signature is invalid.
    """

    name: str
    function: Callable[[bytes], bytes]
    trouble: str = ""

    def __call__(self, data: bytes) -> bytes:
        try:
            made = self.function(data)
        except Exception as error:
            self.trouble = f"{CALLBACK} ({self.name}) failed: {error or type(error).__name__}"
            raise
        if not isinstance(made, bytes) or len(made) != RAW:
            self.trouble = f"{CALLBACK} ({self.name}) must return the {RAW} bytes of r and s"
            raise ValueError(self.trouble)
        return made


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None


def _private(path: Path, data: bytes) -> Any:
    serialization = load_extra("cryptography.hazmat.primitives.serialization")
    try:
        return serialization.load_pem_private_key(data, None)
    except TypeError:
        raise BadInputError(f"{path} needs a password; give a key without one") from None
    except ValueError:
        raise BadInputError(f"{path} holds no private key in PEM (PKCS 8)") from None


def _algorithm(path: Path, key: Any) -> bytes:
    """The name that C2PA has for what this key does."""
    kind, curve = type(key).__name__.lower(), getattr(getattr(key, "curve", None), "name", "")
    found = CURVES.get(curve) or (b"ed25519" if "ed25519" in kind else None)
    if found is None and "rsa" in kind:
        found = b"ps256"
    if found is None:
        raise BadInputError(f"{path}: C2PA does not sign with such a key; use ECDSA P-256")
    return found
