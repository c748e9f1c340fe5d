"""SCHEMA and STATE messages: exact numbers, and faults told with the name of the stream or of the setting."""

from __future__ import annotations

import json

import pytest
from mapping_configs import ACCOUNT, BY_EMAIL
from singer_delivery.settings.sdk_checks import FUNCTIONS
from singer_messages import PROFILE_SCHEMA, profile, record, schema
from singer_sdk.mapper import CustomStreamMap
from target_insiderone.settings.findings import find

PERSON = record("profiles", profile(1))
NUMBERS = '{"v":1764323900.25,"w":0.10,"x":123456789012345678901234567890,"y":[1E+400]}'


def with_properties(**properties):
    """The SCHEMA of profiles with more properties."""
    declared = {**PROFILE_SCHEMA, "properties": {**PROFILE_SCHEMA["properties"], **properties}}
    return {**schema("profiles"), "schema": declared}


def test_schema_and_state_keep_digits(load, sandbox):
    """Fractions in schema and state are kept digit by digit.

    They ended the run with a TypeError, and its STATE was lost for ever; a replay reads the SCHEMA again.
    """
    numbers = {"multipleOf": 0.01, "minimum": 0.0, "maximum": 10**30}

    ended = load([with_properties(n=numbers), PERSON, '{"type":"STATE","value":' + NUMBERS + "}"])

    assert ended.code == 0, ended.logs
    assert len(sandbox.users()) == 1
    (kept,) = ended.data_dir.glob("*/schema-profiles.json")
    assert '"multipleOf":0.01' in kept.read_text()


def test_state_is_written_unchanged(config, target_command, tmp_path):
    """State is written as it came. The same digits: a tap may compare its bookmarks as texts."""
    import subprocess

    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    line = '{"type":"STATE","value":' + NUMBERS + "}\n"

    done = subprocess.run([target_command, "--config", path], input=line, capture_output=True, text=True, check=True)

    assert done.stdout == NUMBERS + "\n"


UNUSABLE = {
    "reference to nothing": with_properties(x={"$ref": "#/definitions/nothing"}),
    "bad pattern": with_properties(x={"pattern": "("}),
    "draft 4": with_properties(x={"exclusiveMinimum": True}),
    "unknown type": with_properties(x={"type": "strin"}),
    "text for a property": with_properties(x="string"),
    "a list": {**schema("profiles"), "schema": []},
    "nothing": {"type": "SCHEMA", "stream": "profiles"},
    "no properties": {**schema("profiles"), "schema": {"type": "object"}},
    "a list of properties": {**schema("profiles"), "schema": {"properties": []}},
    "keys as a text": {**schema("profiles"), "key_properties": "id"},
    "a fraction as a key": {**schema("profiles"), "key_properties": [1.5]},
    "an object of keys": {**schema("profiles"), "key_properties": {"id": 1}},
    "null": {**schema("profiles"), "schema": None},
    "a text": {**schema("profiles"), "schema": "{}"},
    "true": {**schema("profiles"), "schema": True},
    "null for properties": {**schema("profiles"), "schema": {"properties": None}},
}


@pytest.mark.parametrize("message", UNUSABLE.values(), ids=UNUSABLE)
def test_invalid_schema_names_stream(load, message):
    """An invalid SCHEMA is reported with its stream.

    It ended in "unforeseen ... please report", and later with 1 or 2, by what was wrong. Since the run stopped before
    its first stream, it also warned that none was selected, which is not the cause.
    """
    ended = load([message, PERSON])

    assert ended.code == 2
    assert "has no stream" not in ended.logs
    assert "stream profiles: " in ended.logs
    assert "SCHEMA" in ended.logs
    assert "unforeseen" not in ended.logs
    assert "Traceback" not in ended.logs


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"stream_maps": {"profiles": {"__alias__": "a b"}}}, id="alias"),
        pytest.param({"stream_maps": {"profiles": {"id": None}}}, id="key removed"),
        pytest.param({"stream_maps": {"profiles": {"first_name": "first_name +"}}}, id="expression"),
    ],
)
def test_unusable_maps_blame_settings(load, sandbox, settings):
    """Stream maps that cannot be applied are blamed on the settings. Exit code 2, before anything is sent."""
    ended = load([schema("profiles"), PERSON], **settings)

    assert ended.code == 2
    assert "profiles" in ended.logs
    assert "unforeseen" not in ended.logs
    assert sandbox.journal("insiderone") == []


def maps(columns):
    return {"stream_maps": {"profiles": columns}}


MISTAKES = {
    "no expression": (maps({"name": "first_name +"}), "stream_maps.profiles.name", "is not a Python expression"),
    "statement": (maps({"name": "x = 1"}), "stream_maps.profiles.name", "is not a single expression"),
    "unknown function": (maps({"name": "sha25(email)"}), "stream_maps.profiles.name", "no function `sha25`"),
    "number": (maps({"name": 5}), "stream_maps.profiles.name", "wrong type"),
    "filter": (maps({"__filter__": "email and"}), "stream_maps.profiles.__filter__", "is not a Python expression"),
    "filter of no text": (maps({"__filter__": None}), "stream_maps.profiles.__filter__", "wrong type"),
    "misspelt key": (maps({"__fitler__": "email"}), "stream_maps.profiles.__fitler__", "no such key"),
    "else": (maps({"__else__": "x"}), "stream_maps.profiles.__else__", "wrong type"),
    "keys": (maps({"__key_properties__": "id"}), "stream_maps.profiles.__key_properties__", "wrong type"),
    "stream": (maps("x"), "stream_maps.profiles", "wrong type"),
    "option": ({"stream_maps": {"__other__": None}}, "stream_maps.__other__", "no such key"),
    "other streams": ({"stream_maps": {"__else__": "x"}}, "stream_maps.__else__", "not one of the values"),
    "maps": ({"stream_maps": []}, "stream_maps", "wrong type"),
    "values for maps": ({"stream_map_config": "x"}, "stream_map_config", "wrong type"),
    "faker": ({"faker_config": {"locale": 5}}, "faker_config.locale", "wrong type"),
    "seed": ({"faker_config": {"seed": []}}, "faker_config.seed", "wrong type"),
    "no depth": ({"flattening_enabled": True}, "flattening_max_depth", "is missing"),
    "depth as a text": ({"flattening_max_depth": "two"}, "flattening_max_depth", "wrong type"),
    "negative depth": ({"flattening_max_depth": -1}, "flattening_max_depth", "out of range"),
    "flag as a text": ({"flattening_enabled": "ja"}, "flattening_enabled", "wrong type"),
    "separator": ({"flattening_separator": 5}, "flattening_separator", "wrong type"),
}


@pytest.mark.parametrize(("settings", "path", "words"), MISTAKES.values(), ids=MISTAKES)
def test_sdk_mistakes_are_found_early(settings, path, words):
    """Mistake in a setting of the SDK is found before the run.

    `check` finds it, too; the SDK would fail at the first SCHEMA.
    """
    (finding,) = find({**ACCOUNT, **BY_EMAIL, **settings})

    assert finding.path == path
    assert words in finding.message


def test_valid_sdk_settings_pass():
    """Right settings of the SDK are without findings. Nothing that the SDK can do is refused."""
    columns = {
        "name": "fake.name() if fake else md5(config['salt'] + str(_['email']))",
        "at": "datetime.datetime.now().isoformat()",
        "tags": "[tag.lower() for tag in properties['tags']]",
        "gone": None,
        "gone_too": "__NULL__",
        "__filter__": "bool(email)",
        "__alias__": "people",
        "__else__": None,
        "__key_properties__": ["email"],
    }
    settings = {
        "stream_maps": {
            "profiles": columns,
            "events": None,
            "copy": {"__source__": "profiles"},
            "__else__": "__NULL__",
        },
        "stream_map_config": {"salt": "x"},
        "faker_config": {"seed": 1, "locale": ["en_US"]},
        "flattening_enabled": True,
        "flattening_max_depth": 2,
        "flattening_separator": "__",
        "flattening_max_key_length": 63,
    }

    assert find({**ACCOUNT, **BY_EMAIL, **settings}) == []


def test_expression_functions_match_sdk():
    """Functions of expressions are those of the SDK. One more of the SDK's would be refused here."""
    modules = {"datetime", "json"}

    assert {*CustomStreamMap.functions.fget(None)} - modules == set(FUNCTIONS)


def test_null_means_not_given(load):
    """Meltano passes unset settings as null, on which the SDK would fail."""
    assert load([schema("profiles"), PERSON], stream_maps=None, flattening_enabled=None, faker_config=None).code == 0
