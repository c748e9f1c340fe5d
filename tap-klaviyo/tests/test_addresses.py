"""Which addresses get the key: `api_url`, held strictly, and no link that leads, or seems to lead, elsewhere."""

from __future__ import annotations

import pytest
from klaviyo_http.addresses import base_of, mistake_in, origin_of, target_of
from klaviyo_http.errors import ForeignLinkError

ODD = (
    "https://a.example:0",
    "https://a.example:65536",
    "https://a.example:",
    "https://a.example:x",
    "https://a..example",
    "https://.example",
    "https://-a.example",
    "https://a.example/ ",
    "https://a b.example",
    "https://a.example\t",
    "https://user:word@a.example",
    "https://@a.example",
    "https://a.example\\@b.example",
    "https://1.2.3",
    "https://1.2.3.256",
    "https://[::1",
    "https://[1.2.3.4]",
    "https://[::1]x",
    "https://",
    "https:///x",
    "https:a.example",
    "//a.example",
    "a.example",
    "a.example:443",
    "ftp://a.example",
    "https://xn--\u00fc.example",
    "https://" + "a" * 64 + ".example",
    "https://a.example?x=1",
    "https://a.example?",
    "https://a.example#x",
)
GOOD = (
    "https://a.klaviyo.com",
    "https://a.klaviyo.com/",
    "HTTPS://A.Klaviyo.com",
    "https://a.klaviyo.com.",
    "https://a.klaviyo.com:8443",
    "http://127.0.0.1:8001",
    "http://[::1]:8001",
    "http://localhost",
    "http://klaviyo_sandbox:8001",
    "https://gateway.example/klaviyo/v1/",
)


@pytest.mark.parametrize("address", ODD)
def test_odd_address_is_refused(address):
    """Before any request: each of these was an unforeseen ending, or retries for 15 minutes."""
    assert mistake_in(address)


@pytest.mark.parametrize("address", GOOD)
def test_address_is_taken(address):
    """Ports, IPv6 and a trailing slash are ordinary."""
    assert mistake_in(address) is None


def test_odd_address_ends_run(tap):
    """Odd address ends the run as configuration.

    Through the command line, and without showing what is wrong: it may hold a password.
    """
    outcome = tap(streams=["profiles"], api_url="https://user:hushhush@a.klaviyo.com")

    assert outcome.code == 2
    assert "`api_url` holds a user or a password" in outcome.log
    assert "hushhush" not in outcome.log


FOREIGN = (
    "@evil.example/api/profiles",
    ":x@evil.example/api/profiles",
    ":81/api/profiles",
    ".evil.example/api/profiles",
    "//evil.example/api/profiles",
    "///evil.example/api/profiles",
    "/\\evil.example/api/profiles",
    "\\\\evil.example/api/profiles",
    "/\t/evil.example/api/profiles",
    "https://evil.example/api/profiles",
    "https://a.example.evil.example/api/profiles",
    "https://a.example@evil.example/api/profiles",
    "https://user@a.example/api/profiles",
    "https://a.example:x@evil.example/api/profiles",
    "https://a.example\\@evil.example/api/profiles",
    "https://evil.example\\@a.example/api/profiles",
    "https://a.example#@evil.example/api/profiles",
    "http://a.example/api/profiles",
    "https://a.example:8443/api/profiles",
    "https://a.example//evil.example/api/profiles",
    "https://a.example",
    "https:/a.example/api/profiles",
    "javascript:x",
    "api/profiles",
    "?page[cursor]=x",
    "https://a.example /api/profiles",
    "https://a.example/api/pro\nfiles",
    "https://[a.example/api/profiles",
    "https://a.example:99999/api/profiles",
    "",
)
OWN = (
    "https://a.example/api/profiles?page%5Bcursor%5D=x",
    "https://a.example:443/api/profiles?page%5Bcursor%5D=x",
    "HTTPS://A.EXAMPLE/api/profiles?page%5Bcursor%5D=x",
    "https://a.klaviyo.com/api/profiles?page%5Bcursor%5D=x",
    "/api/profiles?page%5Bcursor%5D=x",
)


@pytest.mark.parametrize("link", FOREIGN)
def test_foreign_link_is_not_followed(link):
    """Link that leads elsewhere is not followed.

    Joined to `api_url` as text, ``@host/…`` made that address a user name, and the key went to the host.
    """
    with pytest.raises(ForeignLinkError):
        target_of(link, origin_of("https://a.example"))


@pytest.mark.parametrize("link", OWN)
def test_api_link_is_followed(link):
    """Link of the API is followed.

    In each way in which it can be written; what a gateway passes on names Klaviyo's own host.
    """
    assert target_of(link, origin_of("https://a.example")) == ("/api/profiles", "page%5Bcursor%5D=x")


@pytest.mark.parametrize(
    "link",
    [*OWN[3:], "https://a.example/klaviyo/api/profiles?page%5Bcursor%5D=x", OWN[0]],
    ids=["Klaviyo", "path", "gateway", "host"],
)
def test_gateway_path_is_kept(link):
    """Gateway may put a path before the API's. Whether it writes its own path into the links or passes on Klaviyo's."""
    gateway = base_of("https://a.example/klaviyo/")

    assert gateway.url == "https://a.example/klaviyo"
    assert target_of(link, gateway) == ("/api/profiles", "page%5Bcursor%5D=x")
