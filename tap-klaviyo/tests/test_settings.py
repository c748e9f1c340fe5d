"""Mistakes in the settings are found before the first request, and told without a value."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tap_klaviyo.catalogs import mistakes_in
from tap_klaviyo.settings import SETTINGS, fingerprint, problems
from tap_klaviyo.tap import TapKlaviyo

NOW = datetime(2026, 6, 1, tzinfo=UTC)
README = Path(__file__).parents[1] / "README.md"

MISTAKES = {
    "public key": ({"api_key": "AbC123"}, "public key"),
    "no key": ({"api_key": None}, "`api_key`"),
    "empty key": ({"api_key": "  "}, "`api_key` is empty"),
    "key with a line break": ({"api_key": "pk_1\n"}, "`api_key` holds spaces"),
    "number as text": ({"max_pages": "many"}, "`max_pages` must be of type integer"),
    "switch in words": ({"fetch_predictive_analytics": "maybe"}, "must be of type boolean"),
    "no page at all": ({"max_pages": 0}, "`max_pages` must be at least 1"),
    "more than all of the quota": ({"rate_limit_percent": 120}, "`rate_limit_percent` must be at most 100"),
    "page too large": ({"events_page_size": 1001}, "`events_page_size` must be at most 1000"),
    "negative overlap": ({"overlap_seconds": -1}, "`overlap_seconds` must be at least 0"),
    "one metric instead of a list": ({"event_metrics": "Placed Order"}, "`event_metrics` must be of type array"),
    "metric without a name": ({"event_metrics": ["a", ""]}, "`event_metrics[1]` must not be empty"),
    "date in words": ({"start_date": "last week"}, "`start_date` must be a date"),
    "date in the future": ({"start_date": "2026-06-02"}, "`start_date` lies in the future"),
    "end before start": ({"start_date": "2026-05-02", "end_date": "2026-05-01"}, "before `end_date`"),
    "two lower bounds": ({"start_date": "2026-05-02", "initial_sync_lookback_hours": 0}, "exclude each other"),
    "unknown profile field": ({"event_profile_fields": ["emial"]}, "`event_profile_fields[0]` is not a field"),
    "subscriptions on events": ({"event_profile_fields": ["subscriptions"]}, "gives no subscriptions with events"),
    "address without scheme": ({"api_url": "a.klaviyo.com"}, "`api_url` must begin with https://"),
    "empty address": ({"api_url": ""}, "`api_url` is empty"),
    "empty revision": ({"revision": ""}, "`revision` must be a date"),
    "revision in words": ({"revision": "latest"}, "`revision` must be a date"),
    "revision in other digits": ({"revision": "\uff12026-07-15"}, "`revision` must be a date"),
    "user agent of two lines": ({"user_agent": "a\r\nX-Other: b"}, "`user_agent` holds line breaks"),
    "user agent in no header's letters": ({"user_agent": "\U0001f600 bot"}, "`user_agent` holds line breaks"),
    "map without an expression": ({"stream_maps": {"profiles": {"x": "email +"}}}, "`stream_maps.profiles.x` is no"),
    "map with an unknown function": ({"stream_maps": {"profiles": {"x": "sha25(email)"}}}, "no function `sha25`"),
    "map of the others": ({"stream_maps": {"profiles": {"__else__": "x"}}}, "`stream_maps.profiles.__else__`"),
    "map of a number": ({"stream_maps": {"profiles": {"x": 5}}}, "`stream_maps.profiles.x` is of the wrong type"),
    "maps as a list": ({"stream_maps": []}, "`stream_maps` is of the wrong type"),
    "flattening without a depth": ({"flattening_enabled": True}, "`flattening_max_depth` is missing"),
    "batch files": ({"batch_config": {"x": 1}}, "`batch_config` is not offered"),
}


@pytest.mark.req("IN-07", "CS-02", "IN-04")
@pytest.mark.parametrize(("setting", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_reported_without_value(setting, told):
    """A mistake is reported with its path but without its value. A value may be a misplaced secret."""
    found = problems({"api_key": "pk_0123456789", **setting}, SETTINGS, NOW)

    assert [line for line in found if told in line]
    values = [value for value in setting.values() if isinstance(value, str) and value.strip()]
    assert not [value for value in values if value in " ".join(found)]


def test_settings_that_are_right_pass():
    """Defaults, both spellings of dates, and the ends of all ranges."""
    rows = [
        {},
        {"start_date": "2026-05-31", "end_date": "2026-06-01T00:00:00+02:00"},
        {"initial_sync_lookback_hours": 0, "max_pages": 1, "rate_limit_percent": 1, "overlap_seconds": 0},
        {"event_profile_fields": ["properties"], "revision": "2026-10-15"},
    ]

    assert [problems({"api_key": "pk_0123456789", **row}, SETTINGS, NOW) for row in rows] == [[]] * len(rows)


@pytest.mark.req("IN-07", "IN-04", "C-32")
def test_public_key_is_refused_early(tap, sandbox):
    """Public key is refused before any call. Exit code 2, the hint, and not a single request."""
    outcome = tap(api_key="AbC123")

    assert outcome.code == 2
    assert "public key (six characters)" in outcome.log
    assert "AbC123" not in outcome.log
    assert sandbox.journal() == []


@pytest.mark.parametrize("option", ["--config", "--state", "--catalog"])
@pytest.mark.parametrize("content", [None, "{", "[]"], ids=["missing", "broken", "no object"])
def test_unusable_file_is_named(tap, tmp_path, option, content):
    """Exit code 2 and the path, no traceback."""
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(content)
    outcome = tap(option, str(path))

    assert outcome.code == 2
    assert str(path) in outcome.log.replace("\n", "")
    assert "Traceback" not in outcome.log


def test_unknown_setting_gets_suggestion(tap, sandbox):
    """Unknown setting is refused with a suggestion.

    `start-date` was passed over with a warning, and everything was read; a null, which Meltano may pass, is none.
    """
    outcome = tap(**{"start-date": "2026-01-01", "pk_0123456789abcdef": 1, "nothing": None})

    assert outcome.code == 2
    assert "`start-date` is not a setting of this tap; did you mean `start_date`?" in outcome.log
    assert "pk_0123456789abcdef" not in outcome.log
    assert "nothing" not in outcome.log
    assert sandbox.journal() == []


def test_mistyped_variable_is_named(tap):
    """Variable of the wrong type is named.

    `--config ENV` converts text; what cannot be converted is a configuration error, without the text.
    """
    outcome = tap("--config", "ENV", variables={"TAP_KLAVIYO_MAX_PAGES": "plenty"})

    assert outcome.code == 2
    assert "TAP_KLAVIYO_MAX_PAGES" in outcome.log
    assert "plenty" not in outcome.log


@pytest.mark.req("IN-35")
def test_settings_come_from_the_environment(tap, sandbox, profiles):
    """As Meltano and containers hand them over; lists as JSON."""
    sandbox.add_profiles(profiles(150, updated="2026-01-01T00:00:00Z"))
    variables = {
        "TAP_KLAVIYO_MAX_PAGES": "1",
        "TAP_KLAVIYO_EVENT_METRICS": '["Placed Order"]',
        "TAP_KLAVIYO_FETCH_PREDICTIVE_ANALYTICS": "true",
    }
    outcome = tap("--config", "ENV", streams=["profiles"], variables=variables)

    assert (outcome.code, len(outcome.ids("profiles"))) == (0, 100)
    assert all("predictive_analytics" in record for record in outcome.records("profiles"))


def test_broken_bookmark_fails_its_stream(tap, sandbox, profiles):
    """Broken bookmark is an error of its stream.

    Starting from the beginning instead would be a surprise of a million records.
    """
    sandbox.add_profiles(profiles(1, updated="2026-01-01T00:00:00Z"))
    state = {"bookmarks": {"events": {"replication_key": "datetime", "replication_key_value": "yesterday"}}}
    outcome = tap(streams=["profiles", "events"], state=state)

    assert outcome.code == 4
    assert outcome.ids("profiles") == ["P00000"]
    assert "stream events failed: the state's replication_key_value is not a date-time" in outcome.log


CATALOGS = {
    "streams null": {"streams": None},
    "names alone": {"streams": ["profiles"]},
    "no id": {"streams": [{"stream": "profiles"}]},
    "schema null": {"streams": [{"tap_stream_id": "profiles", "schema": None}]},
    "metadata null": {"streams": [{"tap_stream_id": "profiles", "schema": {}, "metadata": None}]},
    "no breadcrumb": {"streams": [{"tap_stream_id": "profiles", "schema": {}, "metadata": [{"metadata": {}}]}]},
    "renamed": {"streams": [{"tap_stream_id": "profiles", "stream": "people", "schema": {}, "metadata": []}]},
}


@pytest.mark.parametrize("broken", CATALOGS.values(), ids=CATALOGS)
def test_invalid_catalog_is_refused(broken):
    """Catalog that cannot be used is refused.

    The SDK met it with a KeyError or TypeError, some of them after other streams had been written.
    """
    (mistake,) = mistakes_in(broken)

    assert mistake.startswith("--catalog: ")


@pytest.mark.usefixtures("sandbox")
def test_catalog_is_checked_first(tap, catalog):
    """Catalog is looked at before anything is read.

    A stream that the tap does not have is said; what cannot be used ends the run.
    """
    unknown = catalog(["profiles"])
    unknown["streams"].append({"tap_stream_id": "people", "stream": "people", "schema": {}, "metadata": []})
    said, refused = tap(catalog=unknown), tap(catalog=CATALOGS["renamed"])

    assert (said.code, refused.code, refused.output) == (0, 2, "")
    assert any("`people`, which is not a stream" in line for line in said.warnings())


@pytest.mark.parametrize("expression", ["emial.lower()", "1 / 0", "email.foo()", "first_name.lower()"])
def test_failing_stream_map_exits_2(tap, sandbox, profiles, expression):
    """Stream map that fails for a record is a mistake in the settings.

    It was "unexpected"; the state of what was written before that record was lost.
    """
    sandbox.add_profiles(profiles(1, first_name=None, updated="2026-01-01T00:00:00Z"))
    outcome = tap(streams=["profiles"], stream_maps={"profiles": {"made": expression}})

    assert outcome.code == 2
    assert "stream profiles: an expression in `stream_maps` cannot be evaluated for a record" in outcome.log
    assert "unhandled" not in outcome.log
    assert outcome.state == {"bookmarks": {"profiles": {}}}


def test_waits_fit_a_socket(tap, sandbox, profiles):
    """Waits are no longer than a socket can. A timeout beyond 300 years was an OverflowError in every request."""
    sandbox.add_profiles(profiles(1, updated="2026-01-01T00:00:00Z"))
    outcome = tap(streams=["profiles"], request_timeout_seconds=10**400, max_retry_seconds=10**400)

    assert (outcome.code, outcome.ids("profiles")) == (0, ["P00000"])


@pytest.mark.parametrize("wrapping", ["singer_state", "completed", "value"])
def test_wrapped_state_is_refused(tap, wrapping):
    """State inside something else is refused.

    `meltano state get` wraps it, and so does a STATE line: so no bookmark was found, and all came again.
    """
    state = {"bookmarks": {"profiles": {"replication_key": "updated", "replication_key_value": "2026-06-01T00:00:00Z"}}}
    outcome = tap(streams=["profiles"], state={wrapping: state})

    assert (outcome.code, outcome.output) == (2, "")
    assert f"the state stands inside `{wrapping}`" in outcome.log


@pytest.mark.req("IN-04")
def test_discovery_needs_no_settings(tap, tmp_path):
    """Description and discovery work without settings. Meltano discovers before anybody has a key."""
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    about = json.loads(tap("--about", "--format", "json").output)
    catalog = json.loads(tap("--config", str(empty), "--discover").output)

    assert about["settings"]["properties"].keys() >= SETTINGS["properties"].keys()
    assert "batch" not in about["capabilities"]
    keys = {s["tap_stream_id"]: (s["key_properties"], s.get("replication_key")) for s in catalog["streams"]}
    assert keys == {
        "profiles": (["id"], "updated"),
        "events": (["id"], "datetime"),
        "subscription_changes": (["id"], "changed_at"),
        "lists": (["id"], "updated"),
        "metrics": (["id"], None),
    }


@pytest.mark.req("IN-08")
def test_connection_test_covers_every_stream(tap, sandbox):
    """A line of verdict for each, and nobody's data; a missing scope shows before the first real run.

    A metric that the account does not have, and that resembles none, is no warning here: a default need not exist.
    """
    sandbox.seed(profiles=50, events=200)
    absent = ["Viewed Product", "Unlike all others"]
    fine = tap("--test", event_metrics=absent)
    sandbox.add_key("pk_profiles_only", ["profiles:read"])
    poor = tap("--test", api_key="pk_profiles_only")
    sandbox.reset()
    empty = tap("--test")

    assert fine.code == 0
    assert fine.output == "events: can be read\nprofiles: can be read\nsubscription_changes: can be read\n"
    assert not re.search(r"summary|WARNING", fine.log)
    assert poor.code == 4
    assert "lacks the scope events:read" in poor.log
    assert poor.output.splitlines()[:2] == ["events: failed, see the ERROR line above", "profiles: can be read"]
    assert (empty.code, empty.output.count("and is empty")) == (0, 3)


def test_empty_selection_is_reported(tap):
    """Catalog that selects nothing is said.

    A pattern in `select` that matches no stream would otherwise be a green run that reads nothing, for ever.
    """
    outcome = tap(streams=["profile"])

    assert outcome.code == 0
    assert "WARNING" in outcome.log
    assert (
        "no stream is selected, so nothing is read; the names are `events`, `lists`, `metrics`, `profiles`"
        in outcome.log
    )


@pytest.mark.req("IN-05")
def test_settings_hash_excludes_secrets(tap):
    """Summary names the settings by a hash that no secret moves.

    Who compares two runs sees whether they were configured alike.
    """
    hashes = [
        tap(streams=["profiles"], **settings).summary("profiles")["settings"] for settings in ({}, {"max_pages": 5})
    ]

    assert hashes[0] != hashes[1]
    assert fingerprint({"api_key": "pk_one", "max_pages": 5}) == fingerprint({"api_key": "pk_two", "max_pages": 5})


def test_settings_say_what_they_are():
    """Title and description for each; the unit stands in the name or in the description."""
    declared = SETTINGS["properties"]

    assert [
        name for name, setting in declared.items() if not (setting.get("title") and setting.get("description"))
    ] == []
    assert declared["api_key"]["writeOnly"]
    numbers = {name: s["description"].lower() for name, s in declared.items() if "integer" in s["type"]}
    units = r"second|hour|day|page|percent|events per request|concurrent requests"
    assert [name for name, description in numbers.items() if not re.search(units, description)] == []


def test_readme_explains_the_exit_codes():
    """Those that the command line tests of this folder meet."""
    explained = re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)

    assert sorted(map(int, explained)) == [0, 1, 2, 4, 130, 143]


def test_unsafe_capabilities_are_absent():
    """Plugin does not offer what would break its promises.

    The SDK's BATCH and version messages know nothing of the bookmark.
    """
    schema = json.loads(json.dumps(SETTINGS))
    TapKlaviyo.append_builtin_config(schema)

    assert not schema["properties"].keys() & {"batch_config", "emit_activate_version_messages"}
