"""Checks `api_url`, and which links the key may be sent to."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from klaviyo_http.errors import ForeignLinkError

OFFICIAL = "https://a.klaviyo.com"
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_CLEAN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Printable ASCII without spaces and backslashes, which programs interpret differently."""


class Origin(NamedTuple):
    """Where requests go."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    """Prefix that a gateway puts before every path (``/klaviyo``); nearly always empty."""

    @property
    def url(self) -> str:
        """The part before the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.prefix}"

    def is_at(self, other: Origin) -> bool:
        """Return whether both are the same scheme, host and port."""
        return self[:3] == other[:3]


def origin_of(address: str) -> Origin:
    """Parse an address strictly; an ambiguous one is refused.

    Raises:
        ValueError: Not an http(s) address of a host; the message says why, without showing the address.
    """
    if not _CLEAN.fullmatch(address):
        raise ValueError("holds spaces or other characters that no address has")
    parts = urlsplit(address)
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ValueError("must begin with https:// (or http://) and name a host")
    if "@" in parts.netloc:
        raise ValueError("holds a user or a password, which do not belong there")
    try:
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise ValueError("has a port that is not between 1 and 65535") from None
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("has a port that is not between 1 and 65535")
    in_brackets = parts.netloc.startswith("[")
    if (in_brackets and parts.netloc.partition("]")[2][:1] not in {"", ":"}) or not _is_host(host, in_brackets):
        raise ValueError("has an invalid host")
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme])


def _is_host(host: str, in_brackets: bool) -> bool:
    if in_brackets:
        try:
            return ip_address(host).version == 6
        except ValueError:
            return False
    labels = host.split(".")
    if labels[-1].isdecimal():  # so it can only be an IPv4 address
        try:
            return ip_address(host).version == 4
        except ValueError:
            return False
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def mistake_in(address: str) -> str | None:
    """Say what is wrong with an ``api_url``, without showing it; None if nothing is."""
    try:
        origin_of(address)
    except ValueError as error:
        return str(error)
    parts = urlsplit(address)
    if "?" in address or "#" in address or not _PREFIX.fullmatch(parts.path):
        return "must end with the host and port, or with the path of a gateway: the tap adds the API's paths"
    return None


def base_of(api_url: str) -> Origin:
    """Parse an ``api_url``, with the prefix of a gateway."""
    return origin_of(api_url)._replace(prefix=urlsplit(api_url).path.rstrip("/"))


def target_of(link: str, origin: Origin) -> tuple[str, str]:
    """Split a ``links.next`` into path and query, if it belongs to *origin*.

    A link of Klaviyo's own host belongs to every origin: a gateway passes on what Klaviyo writes. The path alone is
    taken from it, so that the key is still sent to *origin*.

    Raises:
        ForeignLinkError: It leads elsewhere, or is ambiguous.
    """
    try:
        belongs = link.startswith("/") and not link.startswith("//") and bool(_CLEAN.fullmatch(link))
        if not belongs:
            there = origin_of(link)
            belongs = there.is_at(origin) or there.is_at(origin_of(OFFICIAL))
        parts = urlsplit(link)
    except ValueError:
        belongs = False
    if not belongs or not parts.path.startswith("/") or parts.path.startswith("//"):
        raise ForeignLinkError(
            "the link to the next page leads to another address than `api_url`: it is not followed, and the key is not "
            "sent there. Does a proxy between here and Klaviyo change the answers?"
        )
    return parts.path.removeprefix(origin.prefix) if _lies_below(parts.path, origin.prefix) else parts.path, parts.query


def _lies_below(path: str, prefix: str) -> bool:
    return path.startswith(f"{prefix}/")
