"""Finds mistakes in single settings: account, addresses, codes, limits."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pycountry
from singer_delivery.errors import Finding
from singer_delivery.mapping.phone import region_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CLEAN_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Printable ASCII without spaces and backslashes, which programs interpret differently."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_REJECTS = re.compile(r"[0-9]+%?")


def check_settings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Find mistakes in single settings that the schema cannot express."""
    yield from _check_partner(config.get("partner_name"))
    for name in ("partner_name", "api_key"):
        yield from _check_header(name, config.get(name))
    yield from _check_integration(config)
    yield from _check_currency(config.get("default_currency"))
    yield from _check_country(config.get("phone_number_settings"))
    yield from _check_max_rejects(config.get("max_rejects"))
    yield from _check_url("api_url", config.get("api_url"))
    yield from _check_url("error_callback_endpoint", config.get("error_callback_endpoint"))
    yield from _check_ledger(config.get("ledger_url"))


def _check_partner(partner: Any) -> Iterator[Finding]:
    if not isinstance(partner, str):
        return
    if partner != partner.lower():
        yield Finding("partner_name", "has upper-case letters", "write it in lower case")
    if re.search(r"[\s/:]", partner.strip()) or (partner.strip() and partner != partner.strip()):
        yield Finding(
            "partner_name", "is not a partner name", "the bare name from the account settings, no URL, no spaces"
        )


def _check_header(name: str, value: Any) -> Iterator[Finding]:
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        yield Finding(
            name, "contains characters that are invalid in a header", "copy it again, without line breaks or accents"
        )


def _check_integration(config: Mapping[str, Any]) -> Iterator[Finding]:
    name, key = config.get("integration_name"), config.get("api_key")
    if isinstance(name, str) and (name.startswith("pk_") or (isinstance(key, str) and key.strip() and key in name)):
        yield Finding("integration_name", "contains a key", "give the pipeline a name, such as `klaviyo`")


def _check_currency(currency: Any) -> Iterator[Finding]:
    if not isinstance(currency, str) or not currency.strip():
        return
    known = pycountry.currencies.get(alpha_3=currency.strip().upper())
    if known and known.alpha_3 == currency:
        return
    suggestion = f"write `{known.alpha_3}`" if known else "three letters, such as EUR, TRY or USD"
    yield Finding("default_currency", "is not an ISO 4217 code", suggestion)


def _check_country(phone_number_settings: Any) -> Iterator[Finding]:
    country = phone_number_settings.get("default_country") if isinstance(phone_number_settings, dict) else None
    if isinstance(country, str) and country.strip() and region_of(country) is None:
        yield Finding(
            "phone_number_settings.default_country",
            "is neither a region nor a calling code",
            "an ISO 3166-1 alpha-2 code such as TR, or a calling code such as +90",
        )


def _check_max_rejects(limit: Any) -> Iterator[Finding]:
    if limit is None or isinstance(limit, bool):
        return
    written = str(limit).strip()
    if not written:
        return
    if not _MAX_REJECTS.fullmatch(written) or (written.endswith("%") and int(written[:-1]) > 100):
        yield Finding("max_rejects", "is neither a number nor a percentage", "write a number as `50`, a share as `10%`")


def _check_url(name: str, url: Any) -> Iterator[Finding]:
    if not isinstance(url, str) or not url.strip():
        return
    scheme = url.partition("://")[0].lower()
    host = _host_of(url)
    if scheme not in {"http", "https"} or (scheme == "http" and host and not _is_loopback(host)):
        yield Finding(name, "is not an https URL", "write https://...; http works for this machine only (the sandbox)")
    elif host is None:
        yield Finding(
            name,
            "is not a valid address",
            "write https://host or https://host:port, without spaces, user and password; ports are 1 to 65535",
        )
    elif name == "api_url" and ("?" in url or "#" in url):
        yield Finding(name, "has a query or fragment", "end it with the host and port, or the path of a gateway")


def _host_of(url: str) -> str | None:
    """The host of an address, parsed strictly; None if the address is invalid or ambiguous."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return None
    if not _CLEAN_URL.fullmatch(url) or "@" in parts.netloc or port == 0 or parts.netloc.endswith(":"):
        return None
    if parts.netloc.startswith("[") and parts.netloc.partition("]")[2][:1] not in {"", ":"}:
        return None
    if parts.netloc.startswith("[") or host.rpartition(".")[2].isdecimal():
        try:
            return str(ip_address(host))
        except ValueError:
            return None
    return host if len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split(".")) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_ledger(url: Any) -> Iterator[Finding]:
    if isinstance(url, str) and url.strip() and "://" not in url:
        yield Finding("ledger_url", "is not an SQLAlchemy URL", "such as postgresql+psycopg://user:pass@host/database")
