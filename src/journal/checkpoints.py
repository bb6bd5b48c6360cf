"""Checkpoints: how long the audit log was and what its last hash was, signed (Ed25519), to be kept
where whoever may change the database may not write.
"""

import importlib
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from src.core.durable import write_whole
from src.core.errors import BadInputError, MissingFileError
from src.core.text import read_json
from src.database.database import Database
from src.journal.checking import check_log
from src.journal.entries import canonical

KIND = "newsreel audit checkpoint"
NAMES = ("at", "head", "kind", "size")
HOW = "pip install -r requirements-trust.txt"


def make_key(path: Path) -> Path:
    """A new signing key at this path, which its owner alone may read, and its public key beside it,
    with .pub. Returns the public one's path. Raises BadInputError where there is a file already.
    """
    serial = _load("cryptography.hazmat.primitives.serialization")
    kinds = _load("cryptography.hazmat.primitives.asymmetric.ed25519")
    public = path.with_name(path.name + ".pub")
    for each in (path, public):
        if each.exists():
            raise BadInputError(f"{each} is there already; name another file for the new key")
    key = kinds.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serial.Encoding.PEM, serial.PrivateFormat.PKCS8, serial.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(secret)
    write_whole(
        public,
        key.public_key().public_bytes(
            serial.Encoding.PEM, serial.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return public


def make_checkpoint(database: Database, key: Path) -> dict[str, Any]:
    """A checkpoint of the log as it is, signed with the key in this file (PEM). Raises
    BadInputError for a log that is empty or not whole: nothing is signed that `check_log`
    contradicts.
    """
    private = _read_key(key, "load_pem_private_key", {"password": None}, "Ed25519PrivateKey")
    found = check_log(database)
    if found.problems:
        raise BadInputError(f"nothing is signed, for the log is not whole: {found.problems[0]}")
    if not found.size:
        raise BadInputError("nothing is signed, for the log is empty")
    told = {"at": int(time.time() * 1000), "head": found.head, "kind": KIND, "size": found.size}
    return told | {"signature": private.sign(canonical(told).encode()).hex()}


def read_checkpoint(path: Path, public: Path) -> tuple[int, str]:
    """Size and head that a checkpoint's file names. Raises BadInputError where it is none, or was
    not signed with the key whose public part is in the file `public`.
    """
    key = _read_key(public, "load_pem_public_key", {}, "Ed25519PublicKey")
    told = read_json(path, "JSON of a checkpoint")
    try:
        body = {name: told[name] for name in NAMES}
        key.verify(bytes.fromhex(told["signature"]), canonical(body).encode())
        if body["kind"] != KIND:
            raise ValueError
        return int(body["size"]), str(body["head"])
    except _load("cryptography.exceptions").InvalidSignature:
        raise BadInputError(
            f"the checkpoint {path} was changed, or was signed with another key than {public}"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise BadInputError(f"{path} is no checkpoint of an audit log") from None


def save(told: dict[str, Any], folder: Path) -> Path:
    """The checkpoint as a file of its own, whose name says how many entries it is of."""
    path = folder / f"checkpoint-{told['size']:012d}-{told['at']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(told, indent=1).encode())
    return path


def _read_key(path: Path, load: str, more: dict[str, Any], kind: str) -> Any:
    serial = _load("cryptography.hazmat.primitives.serialization")
    kinds = _load("cryptography.hazmat.primitives.asymmetric.ed25519")
    if not path.is_file():
        raise MissingFileError(f"there is no key {path}; python -m src.audit key FILE makes one")
    try:
        key = getattr(serial, load)(path.read_bytes(), **more)
    except (ValueError, TypeError):
        raise BadInputError(f"{path} holds no PEM key that can be read") from None
    if not isinstance(key, getattr(kinds, kind)):
        raise BadInputError(f"{path} holds another kind of key; python -m src.audit key makes one")
    return key


def _load(module: str) -> ModuleType:
    """Raises BadInputError where the extra is not installed: the log itself does without it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise BadInputError(f"checkpoints need cryptography: {HOW}") from None
