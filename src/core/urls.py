"""Addresses of servers in settings."""

from urllib.parse import SplitResult, urlsplit

from src.core.errors import BadInputError


def split_url(text: str, variable: str) -> SplitResult:
    """The parts of a URL. Raises BadInputError, which repeats nothing of it: what is wrong is most
    often a password with signs that mean something in a URL.
    """
    try:
        parts = urlsplit(text)
        _ = parts.hostname, parts.port
    except ValueError:
        raise BadInputError(
            f"{variable} is no URL: write /, ?, #, @ and % in names and passwords as %2F, %3F, "
            "%23, %40 and %25"
        ) from None
    return parts
