"""What a person reads where writing failed."""

import errno
from pathlib import Path

from src.core.errors import OutputError


def reason_in(error: BaseException) -> str:
    """What an error of FFmpeg or of the system means, without its number or the file's name."""
    return getattr(error, "strerror", None) or str(error)


def output_error(path: Path, error: Exception, flag: str = "--output-path") -> OutputError:
    """The error a person should read when writing `path` failed with `error`; flag: names the place
    to write to.
    """
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return OutputError(
            f"the disk is full: {path} was not written; free some space or set {flag}"
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path} is not writable: permission denied; choose another {flag}")
    if number == errno.ENAMETOOLONG:
        return OutputError(
            f"{path.name} is too long for a name on this disk; choose a shorter {flag}"
        )
    return OutputError(f"{path} cannot be written: {reason_in(error)}")
