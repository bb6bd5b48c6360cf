"""Where notices may go: https, and no host inside the house, unless a setting allows it."""

import ipaddress
import socket
import urllib.parse

from src.core.errors import BadInputError
from src.notices.notifier import NotDeliveredError


def checked_url(url: str, private: bool) -> urllib.parse.SplitResult:
    """The parts of an address that may be posted to. private: http and hosts inside are allowed.
    Raises BadInputError, which does not repeat it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        raise BadInputError("the target is no address of a web hook") from None
    schemes = ("https", "http") if private else ("https",)
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= 1000
    if parts.scheme not in schemes or not parts.hostname or not plain or not port_is_one:
        raise BadInputError("the target must be an address that begins with https://")
    if parts.username or parts.password:
        raise BadInputError("the target must not hold a user and a password")
    return parts


def address_of(parts: urllib.parse.SplitResult, private: bool) -> tuple[str, int]:
    """An IP address of the host, which is the one to connect to, and the port: a name may lead
    elsewhere a moment later. Raises NotDeliveredError where none may be used.
    """
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotDeliveredError("the target's host is not known") from None
    addresses = [str(each[4][0]) for each in found]
    if not private and not all(map(_is_public, addresses)):
        raise NotDeliveredError(
            "the target's host is inside this network; NEWSREEL_PRIVATE_HOOKS=on allows that"
        )
    return addresses[0], port


NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""The well-known prefix (RFC 6052): the last 32 bits are the IPv4 address that is reached."""


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    reached = _embedded(ip) if isinstance(ip, ipaddress.IPv6Address) else ip
    return reached.is_global and not reached.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one leads to, where it does: mapped, by 6to4, by NAT64."""
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
