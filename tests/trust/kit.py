"""Signed clips for tests, and certificates that must be refused."""

import importlib
import os
import random
import shutil
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from src.trust.claim import ENHANCED, ENLARGED, GENERATED, TERMS, Claim
from src.trust.signing import sign_file

EXTRA = "signed provenance is an extra (requirements-trust.txt)"


def need_packages() -> None:
    """Skip where the extra is not here, but in CI, which installs it."""
    for name in ("c2pa", "cryptography"):
        if os.environ.get("CI"):
            importlib.import_module(name)
        pytest.importorskip(name, reason=EXTRA)


def claim(photograph: Path, kind: str = GENERATED) -> Claim:
    facts, change = {"seed": "7"}, ENLARGED if kind == ENHANCED else None
    return Claim(kind, "0.1.0", "nano", facts, photograph, "photograph.png", change)


def signed(clip: Path, target: Path, photograph: Path, kind: str = GENERATED) -> Path:
    shutil.copy(clip, target)
    sign_file(target, target, claim(photograph, kind))
    return target


def boxes(data: bytes) -> list[tuple[str, int, int]]:
    """(kind, begin, bytes) of the outermost boxes of an MP4."""
    found, place = [], 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        found.append((kind.decode(), place, size))
        place += size
    return found


def flipped(data: bytes, place: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def signed_photograph(plain: Path, target: Path) -> Path:
    """A JPEG with a manifest of its own, as a camera writes it."""
    import c2pa

    from src.trust.context import make_context
    from src.trust.signer import signatory

    action = {"action": "c2pa.created", "digitalSourceType": TERMS + "digitalCapture"}
    wanted = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    with plain.open("rb") as source, target.open("w+b") as out:
        c2pa.Builder(wanted, make_context()).sign(signatory().signer(), "image/jpeg", source, out)
    return target


def write_leaf(folder: Path, target: Path, ends: timedelta, purpose: str | None) -> Path:
    """chain.pem and leaf.key in `target`, issued by an authority's intermediate. purpose: an
    extended key usage, None for none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    issuer = x509.load_pem_x509_certificate((folder / "intermediate.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "intermediate.key").read_bytes(), None)
    own, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
    no = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment",
                        "key_agreement", "encipher_only", "decipher_only", "key_cert_sign",
                        "crl_sign"), False)  # fmt: skip
    extensions = [
        (x509.BasicConstraints(False, None), True),
        (x509.KeyUsage(digital_signature=True, **no), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ]
    if purpose:
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
        extensions.append((usage, False))
    builder = x509.CertificateBuilder(
        issuer.subject, name, own.public_key(), x509.random_serial_number(),
        now - timedelta(days=90), now + ends,
    )  # fmt: skip
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    target.mkdir()
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (target / "chain.pem").write_bytes(pem + (folder / "intermediate.pem").read_bytes())
    (target / "leaf.key").write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return target


def broken(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, most of them where boxes and the record are; pieces lost, doubled, or cut."""
    head = next(begin for name, begin, _ in boxes(data) if name == "mdat")
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 30, 300))):
        changed[chance.randrange(head if chance.random() < 0.8 else len(data))] = chance.randrange(
            256
        )
    kind, place = chance.randrange(5), chance.randrange(len(data))
    if kind == 0:
        del changed[place : place + chance.randrange(1, 5000)]
    if kind == 1:
        changed[place:place] = changed[: chance.randrange(1, 5000)]
    if kind == 2:
        del changed[place:]
    return bytes(changed)
