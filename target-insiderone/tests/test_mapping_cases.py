"""Golden pairs: what one record becomes, to be read by a person.

Each folder of ``cases`` holds ``record.json`` (a record of tap-klaviyo), ``settings.json`` (the mapping, or with
``mapping_file`` the name of one that ships) and ``request.json`` (the ``users`` of the request, and what was left out).
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from mapping_configs import ACCOUNT, BY_EMAIL, PACKAGE
from singer_delivery.errors import Filtered, Rejected
from target_insiderone.mapping import compile_events, compile_profiles
from target_insiderone.settings.findings import find, parse_settings

CASES = Path(__file__).parent / "cases"
NOON = 1_780_315_200.0
"""2026-06-01T12:00:00Z, in epoch seconds."""

REQUIREMENTS = {
    "profile_with_full_consent": ("IN-12", "IN-15", "IN-18", "IN-20", "CO-01", "CO-03"),
    "profile_suppressed": ("CO-02", "CO-04"),
    "profile_hostile": ("IN-13", "IN-19", "IN-20", "IN-41"),
    "profile_without_identifier": ("IN-48",),
    "profile_with_invalid_identifier": ("IN-42",),
    "profile_fixed_attribute_of_the_guide": ("IN-16", "IN-17"),
    "order_with_three_lines": ("IN-21", "IN-26", "IN-28"),
    "order_without_items": ("IN-28", "IN-29"),
    "order_hostile": ("IN-28",),
    "started_checkout": ("IN-21",),
    "added_to_cart": ("IN-21",),
    "viewed_product": ("IN-21", "IN-26"),
    "value_as_order_value": ("IN-26", "IN-27"),
}
"""Folder -> the requirements that the pair shows."""


def read(path):
    """Read JSON with every number exact."""
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def settings_for(case):
    config = read(case / "settings.json")
    mapping_file = config.pop("mapping_file", None)
    mapping = yaml.safe_load((PACKAGE / mapping_file).read_text(encoding="utf-8")) if mapping_file else BY_EMAIL
    merged = {**ACCOUNT, **mapping, **config}
    assert [finding for finding in find(merged) if finding.severity == "error"] == []
    return parse_settings(merged)


def request_of(settings, record):
    """Write the result of a record in the format of ``request.json``."""
    try:
        if "metric_name" not in record:
            mapped = compile_profiles(settings)(record)
            return {"users": [mapped.user], "notes": [list(note) for note in mapped.notes]}
        made = compile_events(settings)(record, NOON)
    except Rejected as error:
        return {"rejected": [error.code, error.field]}
    except Filtered as error:
        return {"filtered": error.reason}
    user = {"identifiers": made.identifiers, "events": [event for _, _, event in made.events]}
    rejected = [[line, event_type, why.code, why.field] for line, event_type, why in made.rejected]
    return {"users": [user], "rejected_lines": rejected, "notes": [list(note) for note in made.notes]}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=pytest.mark.req(*requirements), id=name.replace("_", " "))
        for name, requirements in REQUIREMENTS.items()
    ],
)
def test_record_becomes_the_request(case):
    """Equal in every value, type and order of keys."""
    folder = CASES / case

    request = request_of(settings_for(folder), read(folder / "record.json"))

    expected = read(folder / "request.json")
    assert request == expected
    assert json.dumps(request, default=str) == json.dumps(expected, default=str)


def test_every_case_is_listed():
    """A folder that nothing reads would rot."""
    assert {path.name for path in CASES.iterdir()} == set(REQUIREMENTS)
