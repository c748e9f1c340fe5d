"""The tap's settings come from where the user put them, and are read by their declared type, or refused by name."""

from __future__ import annotations

import json

import pytest
from tap_klaviyo.settings import SETTINGS, problems
from tap_klaviyo.tap import TapKlaviyo
from tap_klaviyo.texts import UnreadableError
from tap_klaviyo.variables import settings_of_variables

PREFIX = "TAP_KLAVIYO_"

REFUSED = {
    "flag misspelt": ("FETCH_PREDICTIVE_ANALYTICS", "ture", "is not a boolean"),
    "flag in quotes": ("FETCH_PREDICTIVE_ANALYTICS", '"true"', "is in quotes"),
    "flag with a space": ("FETCH_PREDICTIVE_ANALYTICS", "TRUE ", "is not a boolean"),
    "empty flag": ("FETCH_PREDICTIVE_ANALYTICS", "", "is empty"),
    "number with a unit": ("LOOKBACK_WINDOW_DAYS", "7d", "is not a whole number"),
    "empty number": ("MAX_PAGES", "", "is empty"),
    "object for a list": ("EVENT_METRICS", '{"a": 1}', "is not a list of names"),
    "object among names": ("EVENT_METRICS", 'Placed Order, {"a": 1}', "is not a list of names"),
    "broken list": ("EVENT_METRICS", '["Placed Order"', "is not a JSON list"),
    "list in quotes": ("EVENT_METRICS", "'[\"Placed Order\"]'", "is in quotes"),
    "empty date": ("START_DATE", "", "is empty"),
    "name without a separator": ("STARTDATE", "2026-01-01", "did you mean TAP_KLAVIYO_START_DATE?"),
}


@pytest.mark.parametrize(("name", "value", "words"), REFUSED.values(), ids=REFUSED)
def test_unreadable_variable_is_named(name, value, words):
    """Variable that cannot be read is named. A flag that was not understood was false; the message holds no value."""
    with pytest.raises(UnreadableError) as refused:
        settings_of_variables({PREFIX + name: value}, SETTINGS["properties"], PREFIX)

    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"variable {PREFIX}{name}: ")
    assert words in mistake


@pytest.mark.parametrize(
    "value", ["Placed Order,Viewed Product", "Placed Order, Viewed Product", '["Placed Order","Viewed Product"]']
)
def test_name_lists_allow_both_notations(value):
    """List of names stands in JSON or between commas. Both were right, and stay so."""
    read = settings_of_variables({f"{PREFIX}EVENT_METRICS": value}, SETTINGS["properties"], PREFIX)

    assert read == {"event_metrics": ["Placed Order", "Viewed Product"]}


def test_comma_names_pass_meltano(tmp_path, monkeypatch):
    """Names between commas pass through Meltano.

    The README offers them for variables; Meltano broke off at them. In a file by hand they are a slip.
    """
    path = tmp_path / "config.json"
    path.write_text('{"event_metrics": "Placed Order, Viewed Product"}')
    by_hand = TapKlaviyo.cb_config(None, None, (str(path),)).config
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-klaviyo-events")

    through_meltano = TapKlaviyo.cb_config(None, None, (str(path),)).config

    assert through_meltano == {"event_metrics": ["Placed Order", "Viewed Product"]}
    assert by_hand == {"event_metrics": "Placed Order, Viewed Product"}


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TAP_KLAVIYO_START_DAT", "TAP_KLAVIYO_START_DATE"),
        ("TAP_KLAVIYO_EVENTS_MAXPAGES", "TAP_KLAVIYO_EVENTS_MAX_PAGES"),
        ("TAP_KLAVIYO_PROFILES_STARTDATE", "TAP_KLAVIYO_PROFILES_START_DATE"),
        ("TAP_KLAVIYO_EVENT_MAX_PAGES", "TAP_KLAVIYO_EVENTS_MAX_PAGES"),
        ("TAP_KLAVIYO_SUBSCRIPTIONS_METRICS", "TAP_KLAVIYO_SUBSCRIPTION_METRICS"),
        ("TAP_KLAVIYO_STREAM_MAP", "TAP_KLAVIYO_STREAM_MAPS"),
    ],
)
def test_misspelt_variable_ends_meltano_run(tmp_path, monkeypatch, variable, meant):
    """Misspelt variable ends a run of Meltano.

    A run whose settings Meltano writes into a file passed over it, and read everything.
    """
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-klaviyo-events")
    monkeypatch.setenv(variable, "2026-01-01")

    with pytest.raises(UnreadableError, match=f"variable {variable}: .* did you mean {meant}.$"):
        TapKlaviyo.cb_config(None, None, (str(path),))


def test_messages_name_flow_variable(tmp_path, monkeypatch):
    """Messages name the variable of the flow.

    The account's was blamed alone; Meltano sets both to the same text, so both are named.
    """
    path = tmp_path / "config.json"
    path.write_text('{"rate_limit_percent": "ten"}')
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-klaviyo-events")

    with pytest.raises(
        UnreadableError, match=r"\(in TAP_KLAVIYO_EVENTS_RATE_LIMIT_PERCENT, TAP_KLAVIYO_RATE_L"
    ) as refused:
        TapKlaviyo.cb_config(None, None, (str(path),))

    assert "setting rate_limit_percent" in str(refused.value)
    assert "ten" not in str(refused.value).partition("setting")[2]


def test_missing_key_names_account_variable(monkeypatch):
    """Missing key is named by the variable of the account.

    A key that a second shop lacks is none of the first shop's.
    """
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-klaviyo-us-events")

    assert problems({}, SETTINGS) == [
        "`api_key` is required; give it in meltano.yml and the variables that it names, or in TAP_KLAVIYO_US_API_KEY"
    ]


def test_no_dotenv_is_read(tap, tmp_path, monkeypatch):
    """The SDK let a file .env of any folder above win over the environment, and over `--config`."""
    (tmp_path / ".env").write_text("TAP_KLAVIYO_API_KEY=pk_wrong_of_dotenv\nTAP_KLAVIYO_MAX_PAGES=0\n")
    monkeypatch.chdir(tmp_path)

    assert tap("--config", "ENV", streams=["profiles"]).code == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_file_encodings_are_detected(tap, sandbox, profiles, tmp_path, catalog, encoding):
    """Files are read in the encoding they were written in.

    Settings, state and catalog, as PowerShell's `>` and some editors write them.
    """
    sandbox.add_profiles(profiles(2, updated="2026-01-01T00:00:00Z"))
    files = {
        "config": {"max_pages": 1},
        "state": {"bookmarks": {}},
        "catalog": catalog(["profiles"]),
    }
    options = []
    for name, content in files.items():
        path = tmp_path / f"{encoding}-{name}.json"
        path.write_bytes(json.dumps(content).encode(encoding))
        options += [f"--{name}", str(path)]

    outcome = tap(*options)

    assert (outcome.code, len(outcome.ids("profiles"))) == (0, 2), outcome.log


@pytest.mark.parametrize("option", ["--config", "--state", "--catalog"])
def test_unknown_file_encoding_is_named(tap, tmp_path, option):
    """File in an unknown encoding is named. Exit code 2; it ended in a traceback or in "unexpected"."""
    path = tmp_path / "given.json"
    path.write_bytes('{"user_agent": "€"}'.encode("cp1252"))

    outcome = tap(option, str(path))

    assert outcome.code == 2
    assert f"{option}: {path}: is not UTF-8" in outcome.log.replace("\n", "")


def test_file_strings_parse_like_variables(tap):
    """Text in a file is read by the same words. Meltano hands texts over as they stand in meltano.yml."""
    outcome = tap(streams=["profiles"], fetch_predictive_analytics="ture", max_pages="one")

    assert outcome.code == 2
    assert "setting fetch_predictive_analytics: is not a boolean" in outcome.log
    assert "setting max_pages: is not a whole number" in outcome.log


def test_state_accepts_fractions(tap, sandbox, profiles):
    """Fraction in a state is no hindrance. Another tool may have put its own numbers there."""
    sandbox.add_profiles(profiles(1, updated="2026-01-01T00:00:00Z"))
    state = {"bookmarks": {"profiles": {"seen": 1764323900.25}, "other": {"at": 0.1}}}

    outcome = tap(streams=["profiles"], state=state)

    assert outcome.code == 0
    assert outcome.state["bookmarks"]["other"] == {"at": 0.1}
