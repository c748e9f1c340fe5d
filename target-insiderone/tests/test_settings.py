"""The settings: declared once, with their defaults, and read without a secret showing."""

from __future__ import annotations

import dataclasses

import pytest
from mapping_configs import ACCOUNT, BY_EMAIL, settings_of
from singer_messages import order, profile, record, schema, state
from target_insiderone.settings.config_schema import PROPERTIES
from target_insiderone.settings.findings import parse_settings
from target_insiderone.settings.settings import Settings


def test_settings_are_described():
    """Every setting says what it is. Title and description feed ``--about``, Meltano and the README."""
    for name, declared in PROPERTIES.items():
        assert declared["title"], name
        assert declared["description"].endswith("."), name
        if declared["type"] == ["integer", "null"]:
            assert declared["unit"], name


@pytest.mark.req("IN-04")
def test_secrets_are_never_shown():
    """Secrets are declared and never shown. A traceback or a debug line may print the settings."""
    secrets = {name for name, declared in PROPERTIES.items() if declared.get("secret") and declared["writeOnly"]}
    settings = settings_of(
        api_key="canary-1", ledger_url="sqlite:///canary-2", error_callback_endpoint="https://canary-3.example"
    )

    assert secrets == {"api_key", "ledger_url", "error_callback_endpoint"}
    assert "canary" not in repr(settings)


def test_defaults_match_declaration():
    """Defaults are those of the declaration. One place says them; a null means the default too."""
    absent = parse_settings({**ACCOUNT, **BY_EMAIL})
    nulls = parse_settings({**dict.fromkeys(PROPERTIES), **ACCOUNT, **BY_EMAIL})

    assert absent == nulls
    for field in dataclasses.fields(Settings):
        default = PROPERTIES.get(field.name, {}).get("default")
        if default is not None:
            value = getattr(absent, field.name)
            assert (list(value) if isinstance(value, tuple) else value) == default, field.name
    assert absent.normalize_phone_numbers is True
    assert absent.default_country is None
    assert absent.on_invalid_identifier == "skip_identifier"


def test_objects_are_completed():
    """Objects are completed key by key.

    Naming a country must not switch normalization off, nor a stream of one's own the three flows.
    """
    settings = settings_of(phone_number_settings={"default_country": "TR"}, stream_kinds={"customers": "profile"})

    assert (settings.normalize_phone_numbers, settings.default_country) == (True, "TR")
    assert settings.stream_kinds == {
        "profiles": "profile",
        "subscription_changes": "profile",
        "events": "event",
        "customers": "profile",
    }


@pytest.mark.parametrize(("given", "read"), [("10%", "10%"), ("50", "50"), (50, "50"), (" 5% ", "5%")], ids=repr)
def test_max_rejects_is_a_string(given, read):
    """`max_rejects` is read as text. YAML makes a number of ``50``; both spellings mean the same."""
    assert settings_of(max_rejects=given).max_rejects == read


def test_base_url_loses_its_slash():
    """Paths begin with one."""
    assert settings_of(api_url="https://a.example/").api_url == "https://a.example"


DURATIONS = [name for name, declared in PROPERTIES.items() if declared.get("unit") in {"days", "hours", "seconds"}]


@pytest.mark.parametrize("name", DURATIONS)
def test_long_durations_are_shortened(load, name):
    """Durations longer than the calendar mean as long as possible.

    "Keep for ever", written as 9999999 days, was an OverflowError: in the dates of rejects, in SQLite, in a socket.
    With the age from which journeys are skipped, every profile became a reject.
    """
    lines = [schema("profiles"), record("profiles", profile(1)), schema("events"), record("events", order(1))]

    ended = load([*lines, state({"n": 1})], **{name: 10**400})
    again = load([*lines, record("profiles", profile(2, email="odd")), state({"n": 2})], **{name: 9_999_999})

    assert (ended.code, again.code) == (0, 0), ended.logs + again.logs
    assert ended.counts("profiles") == {"read": 1, "delivered": 1}
    assert ended.counts("events")["delivered"] == 1
    assert len(again.states) == 1
