"""The way to both APIs: certificates, proxies, answers too large; what fails for good fails at once."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import klaviyo_http.network
import pytest
import singer_delivery.sending.network
from klaviyo_http.client import ClientSettings as TapSettings
from klaviyo_http.client import KlaviyoClient
from klaviyo_http.errors import KlaviyoError, NoWayError, RefusedRequestError
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, PARTNER, TOKEN
from singer_delivery.destination import AnswerMismatchError, Request
from singer_delivery.sending import transport
from singer_delivery.sending.network import (
    NetworkSettingError,
    TooLargeError,
    open_pool,
    read_whole,
    trusted_certificates,
)
from singer_delivery.testing import forking
from target_insiderone.api.answers import read_upsert

BIN = Path(sys.executable).parent
PAGE = json.dumps({"data": [], "links": {"self": "x", "next": None, "prev": None}}).encode()
ACCEPTED = json.dumps({"data": {"successful": {"count": 1}, "fail": {}}}).encode()
REFUSED = "127.0.0.1:9"
"""A port where nobody listens."""


def environment(**variables):
    """The environment without any word of proxies and certificates, but for these."""
    names = ("proxy", "ssl_cert", "ca_bundle")
    kept = {name: value for name, value in os.environ.items() if not any(word in name.lower() for word in names)}
    return kept | variables


@pytest.fixture
def only(monkeypatch):
    """Set these variables, and no other of proxies and certificates."""

    def change(**variables):
        for name in set(os.environ) - set(environment()):
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    change()
    return change


class Answering(BaseHTTPRequestHandler):
    """Answers as both APIs do if there is nothing to say; *asked* collects the requests."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    body: bytes | None = None
    headers_sent: dict[str, str]
    status = 200

    def do_GET(self):
        """Answer."""
        self.asked.append(f"{self.command} {self.path}")
        body = self.body if self.body is not None else (PAGE if self.command == "GET" else ACCEPTED)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  (the names are the library's)

    def do_CONNECT(self):
        """Answer as a proxy."""
        self.asked.append(f"CONNECT {self.path}")
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        """Say nothing."""


@contextmanager
def serving(context=None, **answer):
    """Serve `Answering`; yields its class, whose *url* is where."""
    kind = type("Answer", (Answering,), {"asked": [], "headers_sent": {}, **answer})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # who breaks off is what is tested
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        kind.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
        yield kind
        server.shutdown()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A folder with a certificate authority's ``ca.pem``, and a server's ``server.pem`` that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command: certificates cannot be made")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", "key", "-out", "request")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-out", "certificate")
    openssl("x509", "-req", "-in", "request", *signing)
    (folder / "server.pem").write_text((folder / "key").read_text() + (folder / "certificate").read_text())
    (folder / "hashed").mkdir()
    shutil.copy(folder / "ca.pem", folder / "hashed")
    openssl("rehash", "hashed")
    return folder


@pytest.fixture
def https(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    with serving(context) as server:
        yield server


def read(url, seconds=0):
    """Have the tap's client ask once."""
    settings = TapSettings(KLAVIYO_KEY, url, "2026-07-15", "test", 5, seconds, 100, 2)
    return KlaviyoClient(settings).get("/api/profiles", {}, bytes).document


def write(url, seconds=0):
    """Have the target's client send once."""
    headers = {"X-PARTNER-NAME": PARTNER, "X-REQUEST-TOKEN": TOKEN, "Content-Type": "application/json"}
    settings = transport.TransportSettings("Insider One", url, headers, 5, seconds, 1_000)
    way = transport.HttpTransport(settings, threading.Event())
    return way.send(Request("upsert", "/api/user/v1/upsert", b"{}"), 1, read_upsert)[0]


BOTH = pytest.mark.parametrize("ask", [read, write], ids=["tap", "target"])
LASTING = (NoWayError, transport.NoWayError, NetworkSettingError, klaviyo_http.network.NetworkSettingError)


@pytest.mark.parametrize("name", ["network", "connections"])
def test_both_plugins_share_network_code(name):
    """Both plugins go the same way.

    Both have the module, since neither package imports the other: what is mended in one is mended in both.
    """
    files = [Path(package.__file__).parent for package in (klaviyo_http, singer_delivery.sending)]
    texts = [(folder / f"{name}.py").read_text() for folder in files]

    assert texts[0] == texts[1]


@BOTH
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"])
def test_certificate_variables_are_used(only, authority, https, ask, variable):
    """Every certificate variable is used.

    The tap read SSL_CERT_FILE alone, the target REQUESTS_CA_BUNDLE alone: no one variable did for both.
    """
    only(**{variable: authority / ("hashed" if variable == "SSL_CERT_DIR" else "ca.pem")})

    assert ask(https.url)


@BOTH
def test_certificate_variables_are_combined(only, authority, https, ask, tmp_path):
    """Certificates of several variables are trusted together.

    One may be set for all programs of a machine, another for this pipeline, and a third be out of date.
    """
    only(
        REQUESTS_CA_BUNDLE=authority / "certificate", SSL_CERT_FILE=authority / "ca.pem", SSL_CERT_DIR=tmp_path / "gone"
    )

    assert ask(https.url)


@BOTH
def test_untrusted_certificate_is_reported(only, https, ask):
    """Certificate that is not trusted is said at once.

    Trying again for a quarter of an hour would only hide what is wrong.
    """
    only()

    with pytest.raises(LASTING, match=r"certificate of `api_url` is not trusted .*SSL_CERT_FILE or REQUESTS_CA_BUNDLE"):
        ask(https.url, 900)


@BOTH
@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), ("no certificate", "contains no certificates in PEM format")],
)
def test_unreadable_certificates_are_reported(only, tmp_path, ask, content, why):
    """Certificates that cannot be read are said at once. With the variable's name, and not its value."""
    path = tmp_path / "hush.pem"
    if content:
        path.write_text(content)
    only(SSL_CERT_FILE=path)

    with pytest.raises(LASTING, match=rf"SSL_CERT_FILE \({why}\)") as raised:
        ask("https://127.0.0.1:9", 900)
    assert "hush" not in str(raised.value)


PROXIES = {
    "nobody listens": (REFUSED, "the proxy named by HTTPS_PROXY cannot be reached"),
    "with a scheme": (f"http://{REFUSED}", "the proxy named by HTTPS_PROXY cannot be reached"),
    "no host found": ("http://proxy.invalid:1", "the proxy named by HTTPS_PROXY cannot be reached"),
    "SOCKS": (f"socks5://{REFUSED}", "HTTPS_PROXY names a SOCKS proxy, which needs the package PySocks"),
    "SOCKS, named": (f"socks5h://{REFUSED}", "HTTPS_PROXY names a SOCKS proxy, which needs the package PySocks"),
    "scheme unknown": ("htp://hush:1", "HTTPS_PROXY names no usable proxy"),
    "no host": ("http://:8080", "HTTPS_PROXY names no usable proxy"),
    "port too large": ("http://hush:99999", "HTTPS_PROXY names no usable proxy"),
    "port in words": ("hush:port", "HTTPS_PROXY names no usable proxy"),
}


@BOTH
@pytest.mark.parametrize(("proxy", "said"), PROXIES.values(), ids=PROXIES)
def test_unusable_proxy_is_reported(only, ask, proxy, said):
    """Proxy that cannot be used is said at once.

    It was retried for 15 minutes by the one, and unforeseen to the other.
    """
    only(HTTPS_PROXY=proxy)

    with pytest.raises(LASTING, match=said) as raised:
        ask("https://a.klaviyo.com", 900)
    assert "hush" not in str(raised.value)


@BOTH
@pytest.mark.parametrize(
    ("status", "said"), [(403, r"refuses the connection to `api_url` \(403\)"), (407, "requires a user")]
)
def test_proxy_refusal_is_recognized(only, ask, status, said):
    """A refusal by a proxy is distinguished from one by an API. Another person has to be asked."""
    with serving(status=status) as proxy:
        only(HTTPS_PROXY=proxy.url)

        with pytest.raises(LASTING, match=said):
            ask("https://a.klaviyo.com", 900)
        assert proxy.asked == ["CONNECT a.klaviyo.com:443"]


@BOTH
def test_proxy_without_route_is_retried(only, ask):
    """Proxy that does not get through may do so later.

    A 502 of the tunnel says that the API is away, not that the proxy is wrong.
    """
    with serving(status=502) as proxy:
        only(HTTPS_PROXY=proxy.url)

        with pytest.raises((KlaviyoError, transport.GaveUpError), match="cannot reach `api_url`") as raised:
            ask("https://a.klaviyo.com")
        assert not getattr(raised.value, "lasting", False)


@BOTH
def test_proxy_gets_credentials(only, ask, monkeypatch):
    """Proxy gets its user and password. They stand in its address, and go to the proxy alone."""
    seen = []
    monkeypatch.setattr(Answering, "send_response", recording(seen, Answering.send_response))
    with serving() as proxy:
        only(HTTP_PROXY=proxy.url.replace("//", "//user:word%21@"))

        assert ask("http://api.invalid")
    assert seen == ["Basic dXNlcjp3b3JkIQ=="]


def recording(seen, send_response):
    def recorded(self, *arguments):
        seen.append(self.headers["Proxy-Authorization"])
        send_response(self, *arguments)

    return recorded


@BOTH
@pytest.mark.parametrize("spared", ["127.0.0.1", "127.0.0.0/8", "*", "localhost, 127.0.0.1"])
def test_no_proxy_is_heeded(only, ask, spared):
    """By address, by network, or for all."""
    only(HTTP_PROXY=REFUSED, NO_PROXY=spared)
    with serving() as server:
        assert ask(server.url)


@BOTH
def test_plaintext_port_is_reported(only, ask):
    """Port that does not speak TLS is said at once. An https address with the port of plain HTTP."""
    only()
    with serving() as server, pytest.raises(LASTING, match="does not speak TLS"):
        ask(server.url.replace("http:", "https:"), 900)


@BOTH
@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:9", "refuses the connection"), ("http://api.invalid", r"cannot be found \(DNS\)")],
)
def test_silent_address_is_described(only, ask, url, said):
    """Address without an answer is described.

    A typo in the address, or no network: it may pass, and says what it is.
    """
    only()

    with pytest.raises((NoWayError, transport.GaveUpError), match=said):
        ask(url)


BOMB = gzip.compress(b" " * 200_000_000, 1)
TOO_LARGE = {
    "packed": {"body": BOMB, "headers_sent": {"Content-Encoding": "gzip"}},
    "packed twice over": {"body": BOMB[:-9] * 2, "headers_sent": {"Content-Encoding": "x-gzip"}},
}


@BOTH
@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
def test_decompression_is_bounded(only, ask, answer):
    """Answer that unpacks to more than the memory holds is not unpacked.

    A few hundred kilobytes can become gigabytes.
    """
    only()
    with serving(**answer) as server, pytest.raises((RefusedRequestError, AnswerMismatchError), match="more than"):
        ask(server.url, 900)


def answering(body, **headers):
    """What `read_whole` makes of a body, with at most 1,000 bytes of it."""
    with serving(body=body, headers_sent=headers) as server:
        pool = open_pool(server.url)
        return read_whole(pool.request("GET", server.url, preload_content=False), 1_000)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"x" * 1_000, {}, b"x" * 1_000),
        (b"", {}, b""),
        (gzip.compress(b"x" * 1_000, mtime=0), {"Content-Encoding": "gzip"}, b"x" * 1_000),
        (gzip.compress(b"x", mtime=0) + gzip.compress(b"y", mtime=0), {"Content-Encoding": "GZIP"}, b"xy"),
        (b"", {"Content-Encoding": "gzip"}, b""),
    ],
)
def test_body_is_read_whole(only, body, headers, expected):
    """Up to the limit, packed or not."""
    only()

    assert answering(body, **headers) == expected


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"x" * 1_001, {}, TooLargeError),
        (gzip.compress(b"x" * 1_001, mtime=0), {"Content-Encoding": "gzip"}, TooLargeError),
        (gzip.compress(b"x" * 600, mtime=0) * 2, {"Content-Encoding": "gzip"}, TooLargeError),
        (
            gzip.compress(b"x" * 600, mtime=0)[:-4],
            {"Content-Encoding": "gzip"},
            singer_delivery.sending.network.urllib3.exceptions.DecodeError,
        ),
        (b"no gzip", {"Content-Encoding": "gzip"}, singer_delivery.sending.network.urllib3.exceptions.DecodeError),
        (b"x", {"Content-Encoding": "br"}, singer_delivery.sending.network.urllib3.exceptions.DecodeError),
    ],
)
def test_incomplete_body_is_refused(only, body, headers, error):
    """An incomplete or too large body is refused. Cut off, compressed otherwise, or too large for the memory."""
    only()

    with pytest.raises(error):
        answering(body, **headers)


def test_system_certificates_are_default():
    """Without variables the certificates of the system are trusted.

    In a slim container there are none, so those of certifi are trusted as well.
    """
    assert trusted_certificates({}).cert_store_stats()["x509_ca"] > 50


# -- through the command line -----------------------------------------------------------------------------------------

SCHEMA = {"type": "SCHEMA", "stream": "profiles", "schema": {"properties": {"id": {"type": "string"}}}}
MESSAGES = [
    SCHEMA | {"key_properties": ["id"]},
    {"type": "RECORD", "stream": "profiles", "record": {"id": "P1", "name": "Ada"}},
    {"type": "STATE", "value": {"x": 1}},
]
COMMANDS = pytest.mark.parametrize("plugin", ["tap-klaviyo", "target-insiderone"])


@pytest.fixture
def ended(tmp_path):
    """Run a plugin with its usual 15 minutes of patience: ``ended(plugin, url, **variables)`` -> exit code, log."""

    def run(plugin, url, *command, seconds=900, **variables):
        mapping = {
            "identifier_mappings": [{"identifier_type": "uuid", "source_field": "id"}],
            "attribute_mappings": [{"attribute": "name", "source_field": "name"}],
        }
        config = {
            "tap-klaviyo": {"api_key": KLAVIYO_KEY},
            "target-insiderone": {
                "partner_name": PARTNER,
                "api_key": TOKEN,
                "data_dir": str(tmp_path / "d"),
                **mapping,
            },
        }[plugin]
        (tmp_path / "config.json").write_text(json.dumps(config | {"api_url": url, "max_retry_seconds": seconds}))
        done = forking.run(
            [BIN / plugin, *command, "--config", tmp_path / "config.json"],
            input="\n".join(map(json.dumps, MESSAGES)),
            env=environment(**{name: str(value) for name, value in variables.items()}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert "nforeseen" not in done.stderr
        assert "unexpected" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return run


@COMMANDS
def test_untrusted_certificate_ends_the_run(ended, https, plugin):
    """Exit code 2, named once, no attempt after the first."""
    code, log = ended(plugin, https.url)

    assert code == 2
    assert "certificate of `api_url` is not trusted" in log
    assert https.asked == []


@COMMANDS
@pytest.mark.parametrize(("proxy", "said"), [(REFUSED, "cannot be reached"), (f"socks5://{REFUSED}", "PySocks")])
def test_unusable_proxy_ends_the_run(ended, plugin, proxy, said):
    """Exit code 2, with the variable's name, in one line.

    The tap's SDK said "unhandled error" before it, because the exception was not among those that the tap explains.
    """
    code, log = ended(plugin, "https://127.0.0.1:1", HTTPS_PROXY=proxy)

    assert code == 2
    assert "HTTPS_PROXY" in log
    assert said in log
    assert "unhandled" not in log


def test_dead_address_ends_all_streams(ended):
    """Address that never answers ends all streams after one budget. Each stream had its own 15 minutes before."""
    code, log = ended("tap-klaviyo", "http://127.0.0.1:9", seconds=0)

    assert code == 1
    assert "no answer of any kind" in log
    assert log.count("summary: ") == 1


def test_check_finds_unusable_proxy(ended):
    """Unusable proxy is a finding of check. Before the first run."""
    code, log = ended("target-insiderone", "https://127.0.0.1:1", "check", HTTPS_PROXY=REFUSED)

    assert code == 2
    assert "HTTPS_PROXY" in log
