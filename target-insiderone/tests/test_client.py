"""The client's pure parts: reading answers and headers."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event

import pytest
import urllib3
from singer_delivery.accounts import remedies
from singer_delivery.destination import (
    Answer,
    AnswerMismatchError,
    Refusal,
    Request,
    StopSendingError,
    UnclearRefusalError,
)
from singer_delivery.sending.transport import (
    GaveUpError,
    HttpTransport,
    RateLimit,
    TransportSettings,
    retry_after_seconds,
)
from target_insiderone.api.answers import answer_of, read_upsert
from target_insiderone.api.remedies import REMEDIES

EMAIL = "users.2.identifiers.*.regexp(^.+@.+\\..+$)"
PHONE = "users.0.identifiers.*.regexp(^\\+[1-9]\\d{6,14}$)"
PARAMETER = "users.1.events.4.event_params.*.required"


@pytest.mark.req("IN-58")
@pytest.mark.parametrize(
    ("path", "place", "refusal"),
    [
        (EMAIL, 2, Refusal("invalid_email", None, "identifiers.*", "why")),
        (PHONE, 0, Refusal("invalid_phone_number", None, "identifiers.*", "why")),
        (PARAMETER, 1, Refusal("missing_event_parameter", 4, "event_params.*.required", "why")),
        ("users.0.insider_id.required", 0, Refusal("no_identifier", None, "insider_id.required", "why")),
        ("users.0.identifiers.*.type(string)", 0, Refusal("invalid_uuid", None, "identifiers.*.type(string)", "why")),
        ("users.0.something.new", 0, Refusal("refused", None, "something.new", "why")),
        ("users.0", 0, Refusal("refused", None, "", "why")),
    ],
)
def test_refusals_are_read_by_place(path, place, refusal):
    """The place in the request is the only handle back to the record; an unknown objection is kept in its words."""
    answer = {"data": {"successful": {"count": 2}, "fail": {"count": 1, "errors": {path: ["why"]}}}}

    read = answer_of(answer, 3)

    assert read == Answer({place: [refusal]})
    assert refusal.code in REMEDIES.keys() | remedies.REMEDIES.keys()


@pytest.mark.req("IN-59")
def test_several_objections_count_once():
    """One user with several objections counts once. `fail.count` counts users, not messages."""
    errors = {"users.0.identifiers.required": ["a"], "users.0.insider_id.required": ["a", "b"]}

    answer = answer_of({"data": {"successful": {}, "fail": {"count": 1, "errors": errors}}}, 1)

    assert [refusal.code for refusal in answer.refused[0]] == ["no_identifier"] * 3


@pytest.mark.parametrize("answer", [{}, [], None, {"data": None}, {"data": {"successful": {"count": 1}}}])
def test_unknown_answer_is_no_success(answer):
    """An answer of unknown shape is no success. Only attribute/delete may answer an empty object."""
    with pytest.raises(AnswerMismatchError):
        answer_of(answer, 1)


@pytest.mark.parametrize("texts", [[], "", None])
def test_wordless_refusal_counts(texts):
    """A refusal without words is a refusal.

    It left no objection, so the user counted as delivered while it was refused.
    """
    fail = {"count": 1, "errors": {"users.0.name": texts}}

    answer = answer_of({"data": {"successful": {"count": 1}, "fail": fail}}, 2)

    assert answer.refused == {0: [Refusal("refused", None, "name", "")]}


def test_a_fraction_is_no_count():
    """1.5 accepted of 1 was rounded down to a success."""
    with pytest.raises(AnswerMismatchError):
        answer_of({"data": {"successful": {"count": 1.5}, "fail": {}}}, 1)


def test_deletion_may_answer_empty_object():
    """Attribute delete may answer an empty object.

    The documents show `{}`, a capture shows counts: both are success.
    """
    assert answer_of({}, 3, empty_is_success=True) == Answer({})


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("12", 12.0),
        ("1.5", 1.5),
        (" 3 ", 3.0),
        ("soon", None),
        ("-5", None),
        ("1" * 400, 30 * 86_400.0),
        ("nan", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30 * 86_400.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Mon, 99 Jun 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(header, seconds):
    """Absent, nonsense and absurd values must not break the wait."""
    assert retry_after_seconds(header) == seconds


def test_retry_after_as_a_date():
    """HTTP allows a date; one that has passed means now."""
    now = datetime.now(tz=UTC)

    later = retry_after_seconds(format_datetime(now + timedelta(seconds=90), usegmt=True))

    assert later is not None
    assert 80 < later <= 90
    assert retry_after_seconds(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0.0


def test_retry_date_uses_answers_date():
    """Retry-After as a date counts from the date of the answer.

    A clock of ours that is an hour ahead must not undercut it.
    """
    assert retry_after_seconds("Mon, 01 Jun 2026 12:00:25 GMT", "Mon, 01 Jun 2026 12:00:00 GMT") == 25


@pytest.mark.req("IN-60")
def test_rate_limit_counts_all_requests():
    """The rate limit counts all requests of a minute.

    The account's limit is shared by all lanes: the fourth of three waits until the first is a minute old.
    """
    limit = RateLimit(3)

    delays = [limit.take() for _ in range(5)]

    assert delays[:3] == [0.0, 0.0, 0.0]
    assert all(59 < delay <= 60 for delay in delays[3:])


@pytest.mark.req("IN-60")
def test_pause_reaches_all_lanes():
    """A pause reaches all lanes. A 429 in one lane concerns them all, also one that was about to send."""
    limit = RateLimit(10)
    assert limit.take() == 0.0

    limit.pause(30)

    assert 29 < limit.take() <= 30


@pytest.mark.req("IN-60")
def test_rate_limit_holds_after_pause():
    """The rate limit holds after a pause.

    Lanes used to reserve their times in advance: those within a pause were all used at its end, and counted as if they
    had been used at the time that was reserved, so that twice the limit was sent in a minute.
    """
    seconds = 0.0
    limit = RateLimit(5, clock=lambda: seconds)
    sent = []
    while len(sent) < 40:
        wait = limit.take()
        if not wait:
            sent.append(seconds)
            if len(sent) == 8:
                limit.pause(70)
        seconds += wait

    assert all(later - first >= 60 for first, later in zip(sent, sent[5:], strict=False))


def answered(monkeypatch, *answers: tuple[int, bytes], headers=None, seconds=5) -> tuple[Answer, int]:
    """Send an upsert whose attempts are answered so, one after another, and repeated for so many seconds."""
    way = HttpTransport(TransportSettings("Insider One", "https://api.example", {}, 5, seconds, 1_000), Event())
    left = list(answers)

    def request(*_, **__):
        status, body = left.pop(0)
        return urllib3.HTTPResponse(body=io.BytesIO(body), headers=headers, status=status, preload_content=False)

    monkeypatch.setattr(way._pool, "request", request)
    monkeypatch.setattr("singer_delivery.sending.transport.FIRST_WAIT_SECONDS", 0)
    return way.send(Request("upsert", "/", b"{}"), 1, read_upsert)


@pytest.mark.parametrize("status", [500, 507, 509, 524, 525, 529, 530, 599])
def test_server_errors_are_retried(monkeypatch, status):
    """What ails a server is tried again.

    529 (overloaded) and others of its kind ended the run as a mistake of the settings.
    """
    good = (200, b'{"data":{"successful":{"count":1},"fail":{}}}')

    assert answered(monkeypatch, (status, b"<html>"), good) == (Answer({}, doubtful=True), 2)


@pytest.mark.parametrize("status", [202, 207, 302, 401, 511])
def test_lasting_errors_end_run(monkeypatch, status):
    """What no second attempt changes ends the run. It concerns the request, whatever its rows."""
    with pytest.raises(StopSendingError):
        answered(monkeypatch, (status, b""))


@pytest.mark.parametrize("status", [403, 404, 406, 413, 415, 422, 501])
def test_row_refusals_are_recognized(monkeypatch, status):
    """A refusal that may be a row's fault is recognized.

    A firewall that disliked one row ended every run at it. A 413 says what to do about it.
    """
    with pytest.raises(UnclearRefusalError) as refused:
        answered(monkeypatch, (status, b"<html>"))

    assert ("batch_size_bytes" in str(refused.value)) == (status == 413)
    assert (refused.value.text, refused.value.sent) == (f"status {status}: <html>", False)


@pytest.mark.parametrize(
    ("status", "header", "is_unclear"), [(500, {}, True), (503, {"Retry-After": "7200"}, False), (429, {}, False)]
)
def test_row_and_request_errors_differ(monkeypatch, status, header, is_unclear):
    """A failure because of a row is distinguished from a general one.

    A server that breaks at one row ended every run; one that is too busy says so, and is left alone.
    """
    with pytest.raises(UnclearRefusalError if is_unclear else GaveUpError):
        answered(monkeypatch, *[(status, b"")] * 99, headers=header, seconds=0)
