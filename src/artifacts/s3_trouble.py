"""What an S3 server or the way to it says, as errors of the tree. Sentences name no key and no
address that was signed.
"""

import re

from obstore import exceptions

from src.artifacts.store import StoreAwayError, TakenError
from src.core.errors import MissingFileError, NewsreelError, OutputError

RAISED = (exceptions.BaseError, FileNotFoundError)
"""What obstore raises, besides what a stream that it reads does."""
REFUSED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
STATUS = re.compile(r"status code: (\d{3})")
CODE = re.compile(r"<Code>(\w+)</Code>")
AGAIN = {"408", "429"}


class RefusedKeyError(StoreAwayError):
    """The server does not take our key: for the operator to put right."""


class NoBucketError(StoreAwayError):
    """There is no such bucket."""


def store_error(error: Exception, key: str) -> NewsreelError:
    """The error that this one stands for. key: of the file that was asked for."""
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"{key} is not in the store")
    if isinstance(error, exceptions.AlreadyExistsError):
        return TakenError(f"{key} is in the store with other bytes")
    if isinstance(error, exceptions.PreconditionError):
        return OutputError(f"{key} was replaced while it was read; read it again")
    return _by_status(str(error), key, isinstance(error, REFUSED))


def _by_status(text: str, key: str, refused: bool) -> NewsreelError:
    status, code = _first(STATUS, text), _first(CODE, text)
    told = f"{code or 'HTTP ' + status}" if status else "no connection"
    if code == "NoSuchBucket":
        return NoBucketError(f"the store has no such bucket ({told})")
    if refused or status in ("401", "403"):
        return RefusedKeyError(f"the store refuses the key of this service ({told})")
    if status and status.startswith("4") and status not in AGAIN:
        return OutputError(f"{key} was not taken by the store ({told})")
    return StoreAwayError(f"the store cannot be reached ({told}); try again soon")


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
