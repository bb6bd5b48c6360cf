"""An own certificate authority, for a trial: a root, an intermediate, and the certificate that
signs clips.

Readers trust it only where its root is configured. As the C2PA specification asks: X.509 v3,
ECDSA P-256 with SHA-256, digitalSignature, an extended key usage that is not "any".
"""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from src.core.durable import make_folder, write_whole
from src.core.errors import BadInputError, OutputError
from src.core.paths import exists
from src.trust.extra import load_extra

DAYS = {"root": 3650, "intermediate": 1825, "leaf": 730}
LONGEST_NAME = 64
"""Characters that X.520 allows."""
ORGANISATION = "Newsreel trial, not for publication"


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, as objects of `cryptography`."""

    certificate: Any
    key: Any


def make_authority(folder: Path, organisation: str = ORGANISATION) -> Path:
    """Write root.pem, root.key, intermediate.pem, intermediate.key, chain.pem (leaf, intermediate)
    and leaf.key; the folder appears whole or not at all. Returns it.

    Raises BadInputError where it is there, OutputError where it cannot be written.
    """
    if exists(folder):
        raise BadInputError(f"{folder} is there already; choose another, or give --renew")
    if not 1 <= len(organisation) <= LONGEST_NAME:
        raise BadInputError(f"--organisation must have 1 to {LONGEST_NAME} characters")
    root = _issue("root", organisation, None)
    intermediate = _issue("intermediate", organisation, root)
    leaf = _issue("leaf", organisation, intermediate)
    _place(folder, _files(root, intermediate, leaf))
    return folder


def own_authority(folder: Path) -> bool:
    """Make it unless it is there; whether it was made. Two processes may come at once: one wins."""
    if exists(folder):
        return False
    try:
        make_authority(folder)
    except (BadInputError, OutputError):
        if not exists(folder):
            raise
        return False
    return True


def renew(folder: Path) -> Path:
    """A new leaf from the folder's intermediate; clips that the old one signed keep their proof as
    long as it lasts. Raises BadInputError where the folder is no authority.
    """
    intermediate = _read(folder, "intermediate")
    leaf = _issue("leaf", _name_of(intermediate.certificate), intermediate)
    files = {"leaf.key": _secret(leaf), "chain.pem": _pem(leaf) + _pem(intermediate)}
    for name, data in files.items():
        write_whole(folder / name, data)
        (folder / name).chmod(0o600)
    return folder


def _files(root: Issued, intermediate: Issued, leaf: Issued) -> dict[str, bytes]:
    return {
        "root.pem": _pem(root),
        "root.key": _secret(root),
        "intermediate.pem": _pem(intermediate),
        "intermediate.key": _secret(intermediate),
        "chain.pem": _pem(leaf) + _pem(intermediate),
        "leaf.key": _secret(leaf),
    }


def _place(folder: Path, files: dict[str, bytes]) -> None:
    """Beside, then renamed; only the owner may read it."""
    try:
        make_folder(folder.absolute().parent)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        for name, data in files.items():
            (made / name).write_bytes(data)
            (made / name).chmod(0o600)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)
            raise
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None


def _issue(kind: str, organisation: str, issuer: Issued | None) -> Issued:
    """A certificate of one kind with a new key; `issuer` None signs itself."""
    ec = load_extra("cryptography.hazmat.primitives.asymmetric.ec")
    hashes = load_extra("cryptography.hazmat.primitives.hashes")
    x509 = load_extra("cryptography.x509")
    key, name = ec.generate_private_key(ec.SECP256R1()), _name(organisation, kind)
    begin = datetime.now(UTC) - timedelta(minutes=5)
    by = issuer or Issued(None, key)
    builder = x509.CertificateBuilder(
        name if issuer is None else issuer.certificate.subject,
        name,
        key.public_key(),
        x509.random_serial_number(),
        begin,
        begin + timedelta(days=DAYS[kind]),
    )
    for extension, critical in _extensions(kind, key.public_key(), by.key.public_key()):
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(by.key, hashes.SHA256()), key)


def _extensions(kind: str, mine: Any, issuers: Any) -> list[tuple[Any, bool]]:
    x509, authority = load_extra("cryptography.x509"), kind != "leaf"
    rights = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment",
                            "key_agreement", "encipher_only", "decipher_only"), False)  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **rights
    )
    length = {"root": 1, "intermediate": 0}.get(kind)
    told = [
        (x509.BasicConstraints(authority, length), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(mine), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers), False),
    ]
    mail = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    return told if authority else [*told, (mail, False)]


def _name(organisation: str, kind: str) -> Any:
    x509 = load_extra("cryptography.x509")
    oid = x509.oid.NameOID
    common = f"{organisation}: {'clips' if kind == 'leaf' else kind}"[:LONGEST_NAME]
    parts = ((oid.ORGANIZATION_NAME, organisation), (oid.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind_of, text) for kind_of, text in parts])


def _name_of(certificate: Any) -> str:
    oid = load_extra("cryptography.x509").oid.NameOID
    return certificate.subject.get_attributes_for_oid(oid.ORGANIZATION_NAME)[0].value


def _pem(issued: Issued) -> bytes:
    serialization = load_extra("cryptography.hazmat.primitives.serialization")
    return issued.certificate.public_bytes(serialization.Encoding.PEM)


def _secret(issued: Issued) -> bytes:
    serialization = load_extra("cryptography.hazmat.primitives.serialization")
    return issued.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read(folder: Path, name: str) -> Issued:
    serialization = load_extra("cryptography.hazmat.primitives.serialization")
    x509 = load_extra("cryptography.x509")
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{folder} is no authority of ours: {name}: {error}") from None
    return Issued(certificate, key)
