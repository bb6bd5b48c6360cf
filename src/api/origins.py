"""From where a request comes: the host it was sent to, and the site whose page sent it.

Another site's page may make a browser send requests here. Cookies go along, and an open service
asks for none; a name of the attacker's may even resolve to this machine (DNS rebinding). So hosts
are on a list, and what changes something must come from a page of that very host.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from src.api.problems import ApiError

SAFE = {"GET", "HEAD", "OPTIONS"}
PORTS = {"http": 80, "https": 443}


def names(text: str) -> frozenset[str]:
    """A setting's list, lower case, commas between."""
    return frozenset(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())


class Origins:
    """hosts: names that the service is reached by, besides addresses and this machine's own;
    origins: other sites that may use it. strict: whether other names are refused; a service with
    keys that names no hosts takes any.
    """

    def __init__(self, hosts: str, origins: str, auth: str) -> None:
        self.hosts = names(hosts) | _own_names()
        self.origins = names(origins)
        self.strict = bool(names(hosts)) or auth == "off"

    def allows_host(self, host: str) -> bool:
        """Whether a Host header names this service."""
        name = _name_of(host)
        if not name:
            return False
        return not self.strict or name in self.hosts or _is_address(name)

    def check(self, request: HTTPConnection) -> None:
        """Refuse what another site's page makes a browser send. Raises ApiError 403.

        Browsers say where a request comes from, `null` where they hide it; programs say nothing.
        """
        if request.scope["method"] in SAFE:
            return
        sent = request.headers.get("Origin") or request.headers.get("Referer")
        if sent is None:
            foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        else:
            foreign = not self._is_ours(sent, request.headers.get("Host", ""))
        if foreign:
            raise ApiError(403, "another site's page may not do this; open the service's own page")

    def _is_ours(self, sent: str, host: str) -> bool:
        try:
            parts = urlsplit(sent)
            port = parts.port or PORTS.get(parts.scheme)
            theirs = (parts.hostname or "", port)
        except ValueError:
            return False
        if f"{parts.scheme}://{parts.netloc}".lower() in self.origins:
            return True
        return theirs == _host_and_port(host, parts.scheme)


def _host_and_port(host: str, scheme: str) -> tuple[str, int | None]:
    """A proxy may speak https outside and http to us:
    a Host without a port means that of the page.
    """
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "-", parts.port or PORTS.get(scheme)
    except ValueError:
        return "-", None


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """An address is no name that an attacker could point here."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _own_names() -> frozenset[str]:
    own = socket.gethostname().lower()
    return frozenset(_with_local((own, own.partition(".")[0]))) | {"localhost"}


def _with_local(own: Iterable[str]) -> Iterable[str]:
    return (name for each in own if each for name in (each, f"{each}.local"))


def local_path(wanted: str) -> str:
    """A path of this service for `next` after the login; "/" for whatever leads elsewhere."""
    plain = wanted.isprintable() and wanted.startswith("/") and "\\" not in wanted
    return wanted if plain and not wanted.startswith("//") else "/"
