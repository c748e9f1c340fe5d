"""How the client handles responses that are not documents."""

from __future__ import annotations

import io
import subprocess
import sys

import msgspec
import pytest
import urllib3
from klaviyo_http.answers import LONGEST_WAIT, TransientError, date_of, failure_of
from klaviyo_http.documents import decode_tolerantly, read_event_page, read_page
from klaviyo_http.errors import MissingScopeError, RefusedRequestError, RejectedKeyError

PATH = "/api/events"
DATE = "Mon, 01 Jun 2026 12:00:00 GMT"
ERROR = (
    b'{"errors":[{"id":"1","status":"4xx","code":"some_code","title":"t","detail":"d","source":{"pointer":"/data"}}]}'
)


def answer(status, body=b"", **headers):
    """Make an answer as the pool does; underscores in names of headers are hyphens."""
    return urllib3.HTTPResponse(
        io.BytesIO(body), {name.replace("_", "-"): text for name, text in headers.items()}, status
    )


def failed(response):
    """Sort it."""
    return failure_of(PATH, response.status, response.headers, response.data)


RETRY_AFTER = {
    "25": 25,
    "0.5": 0.5,
    "0": 0,
    "-5": 0,
    "": 0,
    "soon": 0,
    "nan": 0,
    "inf": LONGEST_WAIT,
    "1e400": LONGEST_WAIT,
    "99999999999999999999": LONGEST_WAIT,
    "Mon, 01 Jun 2026 12:00:25 GMT": 25,
    "Mon, 01 Jun 2026 11:00:00 GMT": 0,
    "Mon, 99 Jun 2026 12:00:25 GMT": 0,
    "Fri, 31 Dec 9999 23:59:59 -2359": 0,
}


@pytest.mark.req("C-20")
@pytest.mark.parametrize(("header", "seconds"), RETRY_AFTER.items(), ids=RETRY_AFTER.keys())
def test_retry_after_spellings_are_read(header, seconds):
    """Retry-After is read in every spelling.

    Seconds or a date, which the server's clock counts from, not ours; what is neither asks for nothing.
    """
    failure = failed(answer(429, Retry_After=header, Date=DATE))

    assert isinstance(failure, TransientError)
    assert failure.throttled
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Sat, 01 Jan 0101 00:00:00 GMT",
        "Sat, 01 Jan 0101 00:00:00 +2359",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Mon, 99 Jun 2026 12:00:25 GMT",
        "0",
        "",
    ],
)
def test_odd_date_is_none(date):
    """With one of the last year, the moment when a quota returns was beyond the calendar: OverflowError."""
    assert date_of({"Date": date}) is None


KINDS = [
    (408, b"", TransientError),
    (500, ERROR, TransientError),
    (503, b"", TransientError),
    (524, b"<html>", TransientError),
    (599, b"", TransientError),
    (403, b"<html>challenge</html>", TransientError),
    (403, b"", TransientError),
    (403, b'{"message": "blocked"}', TransientError),
    (403, b'{"errors": []}', TransientError),
    (403, b"\xff\xfe", TransientError),
    (403, ERROR, MissingScopeError),
    (401, ERROR, RejectedKeyError),
    (401, b"<html>", RejectedKeyError),
    (400, ERROR, RefusedRequestError),
    (404, b"<html>", RefusedRequestError),
    (410, b"", RefusedRequestError),
    (301, b"", RefusedRequestError),
    (307, ERROR, RefusedRequestError),
    (204, b"", RefusedRequestError),
]


@pytest.mark.req("C-24")
@pytest.mark.parametrize(
    ("status", "body", "kind"), KINDS, ids=[f"{status} {body[:20]!r}" for status, body, _ in KINDS]
)
def test_answer_is_sorted_by_remedy(status, body, kind):
    """Answer is sorted by what can be done about it.

    Waiting helps against the edge and an outage; only a person helps against a missing scope or a wrong key.
    """
    failure = failed(answer(status, body))

    assert type(failure) is kind
    assert str(status) in str(failure)
    assert not getattr(failure, "throttled", False)


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        (b'{"errors":[{"detail":"Your private key is missing required scopes: metrics:read"}]}', "metrics:read"),
        (b'{"errors":[{"detail":"Forbidden"}]}', "events:read"),
    ],
    ids=["named by the API", "known from the endpoint"],
)
def test_missing_scope_is_named(body, scope):
    """So that the key can be mended at once."""
    assert f"lacks the scope {scope} (403)" in str(failed(answer(403, body)))


NO_PAGES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'"data"',
    b'{"data":null,"links":{}}',
    b'{"data":{},"links":{}}',
    b'{"data":[null],"links":{}}',
    b'{"data":[{"id":"1"}],"links":{}}',
    b'{"data":[]}',
    b'{"data":[],"links":null}',
    b'{"data":[],"links":[]}',
    b'{"data":[],"links":{"next":1}}',
    b'{"data":[],"links":{}}x',
    b'{"data":[],"links":{"next":"https://a.klav',
    b"<html></html>",
    b'{"data":[],"links":{},"x":"\xff"}',
]


@pytest.mark.req("C-26")
@pytest.mark.parametrize("decode", [read_page, read_event_page], ids=["profiles", "events"])
@pytest.mark.parametrize("body", NO_PAGES, ids=range(len(NO_PAGES)))
def test_partial_body_is_refused(decode, body):
    """Body that is no whole page is never taken for one.

    A page without links above all: it would pass for the last one, and everything behind it would be missing.
    """
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_tolerantly(body, decode)


@pytest.mark.parametrize("decode", [read_page, read_event_page], ids=["profiles", "events"])
@pytest.mark.parametrize("links", ["{}", '{"next":null}', '{"self":"x","next":null,"prev":"y"}'])
def test_last_page_has_no_link(decode, links):
    """Last page is one whose links name no next.

    Klaviyo writes null; an API that leaves the link out means the same.
    """
    assert decode(f'{{"data":[],"links":{links}}}'.encode()).links.next is None


FIRST_REFUSALS = """
import importlib, sys, threading
import urllib3
from klaviyo_http import answers

def refuse():
    together.wait()
    answers.failure_of("/", 404, {}, b'{"errors":[{"source":{"parameter":"x"}}]}')

sys.setswitchinterval(1e-6)
for _ in range(100):
    importlib.reload(answers)
    together = threading.Barrier(8)
    threads = [threading.Thread(target=refuse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_concurrent_first_refusals_are_read():
    """First refusals of several threads at once are read.

    Decoders that threads make of a type at the same time would meet half-made ones, and crash the process.
    """
    done = subprocess.run([sys.executable, "-c", FIRST_REFUSALS], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
