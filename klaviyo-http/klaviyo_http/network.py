"""The network: trusted certificates, proxies, causes of failures, and a size limit for decompressed answers."""

from __future__ import annotations

import logging
import os
import ssl
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import certifi
import urllib3
from requests.utils import get_environ_proxies, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
PIECE_BYTES = 1 << 22

log = logging.getLogger(__name__)


class NetworkSettingError(Exception):
    """An environment variable names an unusable proxy, or unusable certificates; its value is not shown."""


class TooLargeError(Exception):
    """A decompressed answer is larger than allowed."""


class Trouble(NamedTuple):
    """Why there was no answer. *lasting*: a retry would fail, too. *sent*: the API may have received the request."""

    words: str
    lasting: bool = False
    sent: bool = False


def open_pool(address: str, **options: Any) -> urllib3.PoolManager:
    """Open a connection pool to *address*, through the proxy that the environment names for it, if any.

    Raises:
        NetworkSettingError: Proxy or certificates cannot be used.
    """
    proxy, variable = proxy_of(address, os.environ)
    if "https" in {urlsplit(address).scheme, urlsplit(proxy).scheme}:
        context = trusted_certificates(os.environ)
        options["ssl_context"] = context
    if not proxy:
        return urllib3.PoolManager(**options)
    parts = urlsplit(proxy)
    if parts.scheme.startswith("socks"):
        if find_spec("socks") is None:
            raise NetworkSettingError(
                f"{variable} names a SOCKS proxy, which needs the package PySocks: install it with this plugin, or "
                "name an HTTP proxy"
            )
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415  (it needs PySocks)

        return SOCKSProxyManager(proxy, **options)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=user)
    if parts.scheme == "https":
        options["proxy_ssl_context"] = options["ssl_context"]
    return urllib3.ProxyManager(proxy, **options)


def proxy_of(address: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The proxy for *address*, with its scheme, and the variable that names it; both empty if there is none.

    Raises:
        NetworkSettingError: Not a valid proxy address.
    """
    scheme = urlsplit(address).scheme
    proxy = select_proxy(address, get_environ_proxies(address))
    if not proxy:
        return "", ""
    named = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    variable = next((name for name in named if environment.get(name)), "the system's settings")
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
        urllib3.util.parse_url(proxy)
    except (ValueError, urllib3.exceptions.LocationParseError):
        usable = False
    if not usable:
        raise NetworkSettingError(
            f"{variable} names no usable proxy: write http://host:port (https and socks5 are supported, too), or name "
            "the host in NO_PROXY"
        )
    return proxy, variable


def trusted_certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the certificates named by any of the environment's variables; without these, the system's certificates.

    Raises:
        NetworkSettingError: None of the named certificates can be read.
    """
    context = create_urllib3_context()
    named = {name: path for name in CERTIFICATE_VARIABLES if (path := environment.get(name, "").strip())}
    if not named:
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
        return context
    unreadable = {name: why for name, path in named.items() if (why := _trust(context, path))}
    listed = "; ".join(f"{name} ({why})" for name, why in unreadable.items())
    if len(unreadable) == len(named):
        raise NetworkSettingError(f"none of the certificates named by the environment can be read: {listed}")
    if unreadable:
        log.warning("certificates named by the environment cannot be read: %s", listed)
    return context


def _trust(context: ssl.SSLContext, path: str) -> str:
    """Trust the certificates in a file, or in folders; returns why they cannot be read, or ""."""
    folders = [folder for folder in path.split(os.pathsep) if Path(folder).is_dir()]
    try:
        for folder in folders:
            context.load_verify_locations(capath=folder)
        if not folders:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "contains no certificates in PEM format"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def trouble_of(error: urllib3.exceptions.HTTPError, address: str, *, answered: bool) -> Trouble:
    """Describe a failure in our own words; *answered*: whether the API has answered before in this run."""
    causes = list(_causes(error))
    by_proxy = any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes)
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes):
        why = next((cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), "")
        whose = "the proxy" if by_proxy else "`api_url`"
        return Trouble(
            f"the certificate of {whose} is not trusted{f' ({why})' if why else ''}: name a file "
            "with the certificate authority's in SSL_CERT_FILE or REQUESTS_CA_BUNDLE",
            lasting=True,
        )
    if by_proxy:
        return _trouble_of_proxy(causes, address, answered=answered)
    if any(isinstance(cause, ssl.SSLError) and "WRONG_VERSION" in str(cause) for cause in causes) and not answered:
        return Trouble("`api_url` does not speak TLS: is it an http:// address, or the wrong port?", lasting=True)
    for kind, words in _NOT_CONNECTED.items():
        if any(isinstance(cause, kind) for cause in causes):
            return Trouble(words)
    return Trouble(f"no complete answer ({type(error).__name__})", sent=True)


_NOT_CONNECTED: Mapping[type[BaseException], str] = {
    urllib3.exceptions.NameResolutionError: "the host of `api_url` cannot be found (DNS)",
    ConnectionRefusedError: "the host of `api_url` refuses the connection",
    urllib3.exceptions.ConnectTimeoutError: "the host of `api_url` does not accept the connection in time",
    urllib3.exceptions.NewConnectionError: "the host of `api_url` cannot be reached",
}


def _trouble_of_proxy(causes: list[BaseException], address: str, *, answered: bool) -> Trouble:
    variable = proxy_of(address, os.environ)[1]
    messages = " ".join(map(str, causes))
    if "407" in messages:
        return proxy_wants_credentials(address)
    for status in ("400", "401", "403", "404", "405"):
        if f"failed: {status}" in messages:
            words = f"the proxy named by {variable} refuses the connection to `api_url` ({status}); ask its operator"
            return Trouble(words, lasting=True)
    if "Tunnel connection failed" in messages:
        return Trouble(f"the proxy named by {variable} cannot reach `api_url`")
    words = (
        f"the proxy named by {variable} cannot be reached: correct the variable, or name the host of `api_url` in "
        "NO_PROXY"
    )
    return Trouble(words, lasting=not answered)


def proxy_wants_credentials(address: str) -> Trouble:
    """The failure for a status 407."""
    variable = proxy_of(address, os.environ)[1] or "a proxy"
    return Trouble(
        f"the proxy requires a user and a password (407): write {variable} as http://user:password@host:port",
        lasting=True,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            waiting += [*one.args, getattr(one, "original_error", None), one.__cause__, one.__context__]


def read_whole(response: urllib3.BaseHTTPResponse, most_bytes: int) -> bytes:
    """Read and decompress the body of an answer that was not preloaded.

    Raises:
        TooLargeError: It is larger than *most_bytes*; never more than that is decompressed.
        urllib3.exceptions.HTTPError: It is incomplete.
    """
    pieces, size = [], 0
    while piece := response.read(PIECE_BYTES, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            response.close()
            raise TooLargeError
    raw = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise urllib3.exceptions.DecodeError("an encoding that was not requested")
    return _unpack(raw, most_bytes)


def _unpack(raw: bytes, most_bytes: int) -> bytes:
    found = b""
    while raw:
        unpacking = zlib.decompressobj(wbits=47)  # gzip or zlib, whatever the header says
        try:
            member = unpacking.decompress(raw, most_bytes - len(found) + 1)
        except zlib.error:
            raise urllib3.exceptions.DecodeError("the body is not compressed as declared") from None
        found = found + member if found else member
        if len(found) > most_bytes:
            raise TooLargeError
        if not unpacking.eof:
            raise urllib3.exceptions.DecodeError("the body is cut off")
        raw = unpacking.unused_data
    return found
