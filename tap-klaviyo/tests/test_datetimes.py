"""Klaviyo's spellings of a moment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_klaviyo.datetimes import consent_times_rfc3339, parse_moment, rfc3339, rfc3339_json, whole_second

zones = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001 - hypothesis wants naive ends


@pytest.mark.req("BX-13", "C-23")
@given(moments, st.sampled_from(["T", " "]), st.booleans())
def test_every_spelling_becomes_rfc3339_utc_of_the_same_moment(moment, separator, fraction):
    """A blank for the T, any offset, fractions or none."""
    moment = moment if fraction else moment.replace(microsecond=0)
    text = rfc3339(moment.isoformat(sep=separator))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
    assert parse_moment(text) == moment


@given(moments.map(lambda moment: moment.astimezone(UTC).replace(microsecond=0).isoformat()))
def test_fast_path_and_general_rule_agree(text):
    """Nearly all times take the short cut over the encoded bytes."""
    expected = text[:19] + "Z"

    assert rfc3339(text) == expected
    assert bytes(rfc3339_json(msgspec.Raw(json.dumps(text).encode()))) == json.dumps(expected).encode()


@pytest.mark.parametrize("text", ["", "soon", "2026-13-45T99:00:00Z", "2026-05-01", "٢٠٢٦-05-01T10:00:00Z", "1 day"])
def test_what_is_no_moment_stays_as_it_is(text):
    """A value that the API may send one day is passed on rather than lost."""
    assert rfc3339(text) == text


@pytest.mark.parametrize("value", ["null", "17", '""', '"caf\\u00e9"'])
def test_other_json_values_pass(value):
    """Null stays null."""
    assert json.loads(bytes(rfc3339_json(msgspec.Raw(value.encode())))) == json.loads(value)


@given(st.dictionaries(st.text(), st.text() | st.none() | st.booleans() | st.integers(), max_size=5), moments)
def test_only_declared_times_of_subscriptions_change(free, moment):
    """Free texts that look like a time, or like a member, are nobody's business."""
    names = {"consent_timestamp", "created_timestamp", "last_updated", "timestamp", "valid_until"}
    rest = {key: value for key, value in free.items() if key not in names}
    spelt = moment.isoformat(sep=" ")
    sent = {"email": {"marketing": {"method_detail": f'"timestamp": "{spelt}"', "timestamp": spelt, **rest}}}
    changed = json.loads(bytes(consent_times_rfc3339(msgspec.Raw(json.dumps(sent).encode()))))

    assert parse_moment(changed["email"]["marketing"].pop("timestamp")) == moment
    sent["email"]["marketing"].pop("timestamp")
    assert changed == sent


@given(moments)
def test_bookmarks_cut_to_the_second(moment):
    """So that comparison as text is comparison in time."""
    text = whole_second(moment)

    assert len(text) == 20
    assert timedelta(0) <= moment - parse_moment(text) < timedelta(seconds=1)
