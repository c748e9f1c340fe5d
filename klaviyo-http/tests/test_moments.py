"""Klaviyo's spellings of a moment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.moments import (
    consent_times_rfc3339,
    parse_moment,
    prediction_times_rfc3339,
    rfc3339,
    rfc3339_json,
    whole_second,
)

CONSENT_TIMES = ["consent_timestamp", "created_timestamp", "last_updated", "timestamp", "valid_until"]
BLANK_AND_OFFSET = "2021-05-17 23:43:28+00:00"

zones = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001 - hypothesis wants naive ends
seconds = moments.map(lambda moment: moment.replace(microsecond=0))
fractions = st.text("0123456789", min_size=1, max_size=30).map(lambda digits: f".{digits}") | st.just("")

shapes = st.from_regex(
    r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,3})?"
    r"([Zz]|\+00:00|[+-][0-2][0-9]:[0-6][0-9])?",
    fullmatch=True,
)


def respelt(value: object) -> object:
    """Take a value through the function that works on the bytes of an answer."""
    return json.loads(bytes(rfc3339_json(msgspec.Raw(json.dumps(value).encode()))))


def offset_of(moment: datetime, form: str) -> str:
    """Spell the offset from UTC: ``+05:30``, ``+0530``, or ``z`` if there is none."""
    offset = moment.strftime("%z")
    if moment.utcoffset() == timedelta(0) and form in {"Z", "z", ""}:
        return form
    return offset if form == "+0000" else f"{offset[:3]}:{offset[3:]}"


@pytest.mark.req("BX-13", "C-23", "CS-24")
@given(seconds, st.sampled_from("Tt "), fractions, st.sampled_from(["Z", "z", "", "+0000", "+00:00"]), st.booleans())
def test_spellings_become_rfc3339_utc(moment, separator, fraction, form, in_utc):
    """Every spelling becomes RFC 3339 UTC of the same moment.

    Space or ``t`` for the T, any offset or none, ``z``, and a fraction of any length, without losing a digit.
    """
    moment = moment.astimezone(UTC) if in_utc else moment
    text = rfc3339(f"{moment:%Y-%m-%d}{separator}{moment:%H:%M:%S}{fraction}{offset_of(moment, form)}")

    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    assert match
    assert datetime.fromisoformat(f"{match[1]}+00:00") == moment
    assert Fraction(match[2] or 0) == Fraction(fraction or 0)
    assert len(match[2] or "") == len(fraction)


@pytest.mark.parametrize(
    ("sent", "spelt"),
    [
        ("2026-08-14T09:12:40+00:00", "2026-08-14T09:12:40Z"),
        ("2026-08-14T09:12:40.131026+00:00", "2026-08-14T09:12:40.131026Z"),
        ("2026-08-14 09:12:40+00:00", "2026-08-14T09:12:40Z"),
        ("2026-08-14T09:12:40", "2026-08-14T09:12:40Z"),
        ("2026-08-14t09:12:40.5z", "2026-08-14T09:12:40.5Z"),
        ("2025-12-31T22:00:00-03:30", "2026-01-01T01:30:00Z"),
        ("2026-01-01T01:00:00+0530", "2025-12-31T19:30:00Z"),
        ("2026-01-01 01:00:00+02", "2025-12-31T23:00:00Z"),
        ("1990-01-01T00:00:00+00:00", "1990-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00Z"),
        ("2024-02-29T23:59:59.1234567890123+00:00", "2024-02-29T23:59:59.1234567890123Z"),
    ],
)
@pytest.mark.req("BX-13", "C-23")
def test_known_and_allowed_spellings(sent, spelt):
    """Spellings that have been seen or are allowed.

    By hand, so that the rule does not judge itself; on the text and on the bytes.
    """
    assert rfc3339(sent) == spelt
    assert respelt(sent) == spelt


@given(seconds.map(lambda moment: moment.astimezone(UTC).isoformat()), fractions)
def test_fast_path_matches_general_rule(text, fraction):
    """Fast path and general rule agree. Nearly all times take the short cut over the encoded bytes."""
    text = f"{text[:19]}{fraction}+00:00"
    expected = f"{text[:19]}{fraction}Z"

    assert rfc3339(text) == expected
    assert respelt(text) == expected


NO_MOMENTS = [
    "",
    "soon",
    "1 day",
    "+00:00",
    "2026-05-01",
    "2026-13-45T99:00:00Z",
    "2026-02-30T10:00:00+00:00",
    "2026-02-29 10:00:00",
    "2026-05-01T24:00:00+00:00",
    "2026-05-01T10:00:00+25:00",
    "2026-05-01T10:00:00.+00:00",
    "2026-05-01_10:00:00+00:00",
    "abcdefghijTklmnopqr+00:00",
    "0001-01-01T00:00:00+05:00",
    "٢٠٢٦-05-01T10:00:00Z",
    " 2026-05-01T10:00:00Z",
    "2026-05-01T10:00:00Z\n",
    "the 2026-05-01T10:00:00+00:00",
]


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_non_times_stay_unchanged(text):
    """Values that are not times stay unchanged.

    A value that the API may send one day is passed on rather than lost, however near it comes to a date.
    """
    assert rfc3339(text) == text
    assert respelt(text) == text


@given(shapes)
def test_shape_alone_makes_no_moment(text):
    """Either a moment comes out, spelt as all are, or what came in: never half of each."""
    spelt = respelt(text)

    assert spelt == rfc3339(text)
    assert spelt == text or parse_moment(spelt).tzinfo is UTC
    assert rfc3339(spelt) == spelt


@given(st.text())
def test_bytes_path_matches_rule(text):
    """Any text passes the bytes as it passes the rule. Quotes, escapes and everything else that JSON text may hold."""
    assert respelt(text) == rfc3339(text)


@pytest.mark.parametrize("value", ["null", "17", "1.50", "-0", "true", '""', '"caf\\u00e9"', '{"a":[1,"x"]}', "[]"])
def test_other_json_values_pass(value):
    """Null stays null, and no byte of a number changes."""
    spelt = bytes(rfc3339_json(msgspec.Raw(value.encode())))

    assert json.loads(spelt) == json.loads(value)
    assert spelt == value.encode() or value.startswith('"')


@given(st.dictionaries(st.text(), st.text() | st.none() | st.booleans() | st.integers(), max_size=5), moments)
def test_only_declared_times_change(free, moment):
    """Only declared times of subscriptions change.

    Free texts that look like a time, or like a member, are nobody's business.
    """
    rest = {key: value for key, value in free.items() if key not in CONSENT_TIMES}
    spelt = moment.isoformat(sep=" ")
    sent = {"email": {"marketing": {"method_detail": f'"timestamp": "{spelt}"', "timestamp": spelt, **rest}}}
    changed = json.loads(bytes(consent_times_rfc3339(msgspec.Raw(json.dumps(sent).encode()))))

    assert parse_moment(changed["email"]["marketing"].pop("timestamp")) == moment
    sent["email"]["marketing"].pop("timestamp")
    assert changed == sent


open_values = st.recursive(
    st.just(BLANK_AND_OFFSET) | st.text() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*CONSENT_TIMES, "metadata", "]}", '"\\', "ş🧦"]), inner, max_size=4)
    ),
    max_leaves=10,
)
metadata = st.dictionaries(st.sampled_from(["timestamp", "metadata", "é"]), open_values, max_size=3)


@pytest.mark.req("CS-24")
@given(metadata, metadata, st.sampled_from([(",", ":"), (" , ", " : ")]), st.booleans())
def test_subscription_metadata_stays_unchanged(first, second, separators, ascii_only):
    """Open metadata of subscriptions is left alone.

    Klaviyo declares no date in it; the times before and after it are normalised.
    """
    sent = {
        "email": {
            "open_tracking": {"valid_until": BLANK_AND_OFFSET, "metadata": first, "last_updated": BLANK_AND_OFFSET},
            "click_tracking": {"metadata": second, "consent": "SUBSCRIBED"},
        },
        "whatsapp": {"marketing": {"metadata": None, "created_timestamp": BLANK_AND_OFFSET}},
    }
    encoded = json.dumps(sent, separators=separators, ensure_ascii=ascii_only).encode()
    changed = json.loads(bytes(consent_times_rfc3339(msgspec.Raw(encoded))))

    tracking = {"valid_until": "2021-05-17T23:43:28Z", "metadata": first, "last_updated": "2021-05-17T23:43:28Z"}
    assert changed["email"]["open_tracking"] == tracking
    assert changed["email"]["click_tracking"] == sent["email"]["click_tracking"]
    assert changed["whatsapp"] == {"marketing": {"metadata": None, "created_timestamp": "2021-05-17T23:43:28Z"}}


def test_only_subscription_times_change():
    """Bytes of subscriptions stay but for the times. Blanks, order, repeated members and the digits of numbers."""
    digits = b"7" * 5_000
    sent = (
        b'{ "x" : 1.10 , "last_updated":"2026-05-01 10:00:00", "x": -0, "metadata":{"a": %b}, "list_id":"x" }' % digits
    )

    assert bytes(consent_times_rfc3339(msgspec.Raw(sent))) == sent.replace(b"01 10:00:00", b"01T10:00:00Z")


def test_predicted_date_is_normalized():
    """It may lack an offset, or be unknown."""
    for sent, spelt in (('"2026-08-14T09:12:40"', '"2026-08-14T09:12:40Z"'), ("null", "null")):
        value = msgspec.Raw(f'{{"total_clv":10.10,"expected_date_of_next_order": {sent}}}'.encode())

        assert bytes(prediction_times_rfc3339(value)) == bytes(value).replace(sent.encode(), spelt.encode())


@given(moments)
def test_bookmarks_cut_to_the_second(moment):
    """So that comparison as text is comparison in time."""
    text = whole_second(moment)

    assert len(text) == 20
    assert timedelta(0) <= moment - parse_moment(text) < timedelta(seconds=1)
