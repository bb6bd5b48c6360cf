"""Which bucket `NEWSREEL_STORE` names, and the client that reaches it."""

import importlib
import urllib.parse
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from src.core.errors import BadInputError
from src.core.urls import split_url

FORM = "s3://BUCKET/PREFIX?endpoint=https://HOST&links=on"
KNOWN = {"endpoint", "region", "links"}
MISSING = (
    "NEWSREEL_STORE names an S3 store, and the package obstore is not here; install it with: "
    "pip install -r requirements-fleet.txt"
)
TRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=5)}
REQUEST_S = 60
"""Of one request: a part of an upload, or a range. What is sent whole gets more by its size."""
CONNECT_S = 5


@dataclass(frozen=True)
class S3Place:
    """bucket, prefix: where the files lie. endpoint: of the server; None: AWS's own for the region.
    links: where clients reach that server, as scheme, host and port; None: files go through the
    service.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    links: str | None = None

    def __str__(self) -> str:
        """As a sentence names it."""
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.prefix}{at}"

    def client(self, seconds: int = REQUEST_S) -> Any:
        """obstore's store; a request of it may take so many seconds. Keys come from
        `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or from where AWS gives them to its
        machines.
        """
        from obstore.store import S3Store

        config: Any = {"region": self.region, "checksum_algorithm": "SHA256",
                  "copy_if_not_exists": "multipart"}  # fmt: skip
        config |= {"endpoint": self.endpoint} if self.endpoint else {}
        times: Any = {"connect_timeout": f"{CONNECT_S}s", "timeout": f"{seconds}s"}
        plain = bool(self.endpoint) and str(self.endpoint).startswith("http://")
        return S3Store(
            self.bucket, prefix=self.prefix or None, config=config,
            client_options=times | {"allow_http": plain}, retry_config=TRIES,
        )  # fmt: skip

    def for_clients(self) -> "S3Place | None":
        """The same place as clients reach it; None where they do not."""
        return replace(self, endpoint=self.links) if self.links else None


def needed() -> None:
    """Raise BadInputError where the package is missing."""
    try:
        importlib.import_module("obstore")
    except ModuleNotFoundError:
        raise BadInputError(MISSING) from None


def read_place(url: str) -> S3Place:
    """Of `NEWSREEL_STORE`. Raises BadInputError, which repeats no secret."""
    parts = split_url(url, "NEWSREEL_STORE")
    if parts.username or parts.password:
        raise BadInputError(
            "NEWSREEL_STORE holds a key; put it into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    asked = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "s3" or not parts.netloc or parts.fragment or asked.keys() - KNOWN:
        raise BadInputError(f"NEWSREEL_STORE is no address of a store; such as {FORM}")
    endpoint = _server(asked["endpoint"], "endpoint") if asked.get("endpoint") else None
    region = asked.get("region") or "us-east-1"
    links = _links(asked.get("links") or "off", endpoint, region)
    return S3Place(parts.netloc, parts.path.strip("/"), endpoint, region, links)


def _links(asked: str, endpoint: str | None, region: str) -> str | None:
    if asked == "off":
        return None
    if asked == "on":
        return endpoint or f"https://s3.{region}.amazonaws.com"
    return _server(asked, "links")


def _server(text: str, name: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise BadInputError(
            f"{name} of NEWSREEL_STORE must be the address of a server, such as "
            "https://s3.example.org"
        )
    return f"{parts.scheme}://{parts.netloc}"
