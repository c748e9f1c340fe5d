"""Settings come from where the user put them, and are read by their declared type, or refused by name."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN
from singer_delivery.texts import UnreadableError
from singer_messages import profile, record, schema
from target_insiderone.settings.findings import find
from target_insiderone.target import TargetInsiderOne

PREFIX = "TARGET_INSIDERONE_"

REFUSED = {
    "flag misspelt": ("DRY_RUN", "ture", "is not a boolean"),
    "flag of one letter": ("DRY_RUN", "y", "is not a boolean"),
    "flag in quotes": ("DRY_RUN", '"true"', "is in quotes"),
    "flag with a space": ("DRY_RUN", "TRUE ", "is not a boolean"),
    "flag with a line break": ("SKIP_HOOK", "true\r", "is not a boolean"),
    "empty flag": ("DRY_RUN", "", "is empty"),
    "empty number": ("LEDGER_DAYS", "", "is empty"),
    "number with a unit": ("LEDGER_DAYS", "30d", "is not a whole number"),
    "number with a comma": ("BATCH_SIZE_ROWS", "1,000", "is not a whole number"),
    "fraction": ("LEDGER_DAYS", "30.5", "is not a whole number"),
    "object as YAML": ("PHONE_NUMBER_SETTINGS", "{default_country: TR}", "is not a JSON object"),
    "list for an object": ("STREAM_KINDS", "[]", "is not a JSON object"),
    "words for rows": ("EVENT_MAPPINGS", "Placed Order", "is not a JSON list"),
    "no JSON": ("IDENTIFIER_MAPPINGS", '[{"identifier_type": "email"', "is not a JSON list"),
    "NaN": ("IDENTIFIER_MAPPINGS", "[NaN]", "is not a JSON list"),
    "key in quotes": ("API_KEY", "'canary-6f1e'", "is in quotes"),
    "text with a line break": ("DATA_DIR", "data\r", "control character"),
    "empty required text": ("PARTNER_NAME", " ", "is empty"),
    "flag of the SDK": ("FLATTENING_ENABLED", "ja", "is not a boolean"),
    "name without a separator": ("DRYRUN", "true", "did you mean TARGET_INSIDERONE_DRY_RUN?"),
    "name nearly right": ("ATTRIBUTES_MAPPINGS", "[]", "did you mean TARGET_INSIDERONE_ATTRIBUTE_MAPPINGS?"),
}


@pytest.fixture
def from_environment(monkeypatch):
    """Read `--config=ENV` with these variables."""

    def read(**variables: str):
        for name, value in variables.items():
            monkeypatch.setenv(name if name.startswith("MELTANO") else PREFIX + name, value)
        return TargetInsiderOne.config_from(["ENV"])

    return read


@pytest.mark.parametrize(("name", "value", "words"), REFUSED.values(), ids=REFUSED)
def test_unreadable_variable_is_named(from_environment, name, value, words):
    """Variable that cannot be read is named.

    A flag that was not understood was false: a dry run sent for real. The message holds no value.
    """
    with pytest.raises(UnreadableError) as refused:
        from_environment(**{name: value})

    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"variable {PREFIX}{name}: ")
    assert words in mistake
    assert "canary" not in mistake


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        *[("DRY_RUN", word, True) for word in ("true", "True", "YES", "on", "1")],
        *[("DRY_RUN", word, False) for word in ("false", "FALSE", "no", "Off", "0")],
        ("LEDGER_DAYS", " 30 ", 30),
        ("MAX_REJECTS", "10%", "10%"),
        ("MAX_REJECTS", "50", "50"),
        ("DEFAULT_CURRENCY", "EUR", "EUR"),
        ("STREAM_KINDS", '{"people": "profile"}', {"people": "profile"}),
        ("FIXED_ATTRIBUTES", '[{"attribute": "a", "value": "b"}]', [{"attribute": "a", "value": "b"}]),
        ("STREAM_MAPS", '{"profiles": null}', {"profiles": None}),
    ],
)
def test_variables_follow_declared_types(from_environment, name, value, read):
    """Variable is read by its declared type.

    The words of a flag are the same everywhere; numbers stand in digits, lists and objects in JSON.
    """
    assert from_environment(**{name: value}) == {name.lower(): read}


def test_foreign_variables_are_ignored(from_environment):
    """Variables of other plugins are left alone.

    Meltano sets those of the plugin that inherits, too, and of extras; people refer to variables of their own.
    """
    others = {"PROFILES_DRY_RUN": "x", "X_API_KEY": "x", "_LOG_PARSER": "x", "LOGLEVEL": "INFO", "SHOP_2_KEY": "x"}

    assert from_environment(**others) == {}


def test_commands_see_unknown_meltano_settings(from_environment):
    """Unknown settings of Meltano are seen by the commands.

    `attributes_mappings:` in meltano.yml passed `check`; the run refused it. Parts of objects are no settings.
    """
    config = from_environment(
        ATTRIBUTES_MAPPINGS="[]",
        MELTANO_LOAD_ATTRIBUTES_MAPPINGS="[]",
        VALIDATE_RECORDS="true",
        MELTANO_LOAD_VALIDATE_RECORDS="true",
        STREAM_MAPS_PROFILES_NAME="x",
        MELTANO_LOAD_STREAM_MAPS_PROFILES_NAME="x",
    )

    assert config == {"attributes_mappings": [], "validate_records": True}


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("dry_run", "ture", "setting dry_run: is not a boolean"),
        ("skip_hook", "", "setting skip_hook: is empty"),
        ("ledger_days", "30d", "setting ledger_days: is not a whole number"),
        ("flattening_enabled", "ja", "setting flattening_enabled: is not a boolean"),
    ],
)
def test_file_strings_parse_like_variables(tmp_path, setting, value, words):
    """Text in a file is read by the same words. Meltano hands texts over as they stand in meltano.yml."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({setting: value}))

    with pytest.raises(UnreadableError, match=words) as refused:
        TargetInsiderOne.config_from([str(path)])
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("plugin", "own", "account"),
    [
        ("target-insiderone", "TARGET_INSIDERONE", "TARGET_INSIDERONE"),
        ("target-insiderone-events", "TARGET_INSIDERONE_EVENTS", "TARGET_INSIDERONE"),
        ("target-insiderone-us", "TARGET_INSIDERONE_US", "TARGET_INSIDERONE_US"),
        ("target-insiderone-us-profiles", "TARGET_INSIDERONE_US_PROFILES", "TARGET_INSIDERONE_US"),
        ("target-insiderone--de-subscriptions", "TARGET_INSIDERONE__DE_SUBSCRIPTIONS", "TARGET_INSIDERONE__DE"),
    ],
)
def test_messages_name_plugin_variables(tmp_path, monkeypatch, plugin, own, account):
    """Messages name the variables of the plugin.

    A flag was named by its setting, or the account's variable, alone; a second shop's key by the first's variable.

    Meltano sets all of a plugin's variables to the same text: which of them it was, nobody can know.
    """
    monkeypatch.setenv("MELTANO_LOADER_NAME", plugin)
    monkeypatch.setenv("MELTANO_LOAD_SKIP_HOOK", "ture")
    path = tmp_path / "config.json"
    path.write_text('{"dry_run": "ture"}')

    with pytest.raises(UnreadableError) as file:
        TargetInsiderOne.config_from([str(path)])
    with pytest.raises(UnreadableError) as variable:
        TargetInsiderOne.config_from(["ENV"])
    missing = {finding.path: str(finding) for finding in find({})}

    assert f"setting dry_run (in {own}_DRY_RUN, " in str(file.value)
    assert f" {account}_DRY_RUN, " in str(file.value)
    assert f"setting skip_hook (in {own}_SKIP_HOOK, " in str(variable.value)
    assert f"that it names, or in {account}_PARTNER_NAME)" in missing["partner_name"]
    assert f" {account}_API_KEY)" in missing["api_key"]
    assert not [text for text in missing.values() if text.count("(") > 1]


@pytest.mark.parametrize("text", ['[{"attribute": "a", "value": 1}]', "[{'attribute': 'a', 'value': 1}]"])
def test_string_list_in_file_counts(tmp_path, text):
    """List that is a text in a file counts.

    Meltano hands every list over as JSON, and one of a variable as it stands there; it took Python's quotes, too.
    """
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"fixed_attributes": text}))

    assert TargetInsiderOne.config_from([str(path)]) == {"fixed_attributes": [{"attribute": "a", "value": 1}]}


@pytest.mark.parametrize("text", ["[{'attribute': 1e400}]", "['a'", "{'a'}", "[{1, 2}]", "['a'] * 9", "[b'a']"])
def test_invalid_list_in_file_refused(tmp_path, monkeypatch, text):
    """An invalid list in a file is refused.

    By its name, and without its value: Meltano showed the value without the name.
    """
    monkeypatch.setenv("MELTANO_LOADER_NAME", "target-insiderone-events")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"fixed_attributes": text}))

    with pytest.raises(UnreadableError, match=r"setting fixed_attributes .*FIXED_ATTRIBUTES.*\): is not a JSON"):
        TargetInsiderOne.config_from([str(path)])


@pytest.mark.parametrize("text", ['{"profiles": {"a.b": null}, "__else__": null}', "{profiles: x}"])
def test_meltano_passes_stream_maps(tmp_path, monkeypatch, text):
    """Stream maps of a variable reach a run of Meltano.

    Meltano took no notice of the variable; read by itself, it lost the nulls, which leave properties out.
    """
    monkeypatch.setenv("MELTANO_LOADER_NAME", "target-insiderone-events")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"stream_maps": text}))

    if text.startswith("{p"):
        with pytest.raises(UnreadableError, match=r"setting stream_maps .*_STREAM_MAPS, .*: is not a JSON object"):
            TargetInsiderOne.config_from([str(path)])
    else:
        assert TargetInsiderOne.config_from([str(path)])["stream_maps"] == json.loads(text)


MISSPELT = {
    "of the flow": ("target-insiderone-profiles", "PROFILES_DRYRUN", "PROFILES_DRY_RUN"),
    "of another flow": ("target-insiderone-events", "PROFILES_DRYRUN", "PROFILES_DRY_RUN"),
    "of a flow, for a command": ("target-insiderone", "PROFILES_DRYRUN", "PROFILES_DRY_RUN"),
    "in the flow": ("target-insiderone-profiles", "PROFILE_DRY_RUN", "PROFILES_DRY_RUN"),
    "of the account": ("target-insiderone-us-profiles", "US_DRYRUN", "US_DRY_RUN"),
    "of the account's flow": ("target-insiderone-us-profiles", "US_PROFILES_DRY-RUN", "US_PROFILES_DRY_RUN"),
    "in the account's flow": ("target-insiderone-us", "US_EVENT_DRY_RUN", "US_EVENTS_DRY_RUN"),
    "of the first account": ("target-insiderone-us-profiles", "DRYRUN", "DRY_RUN"),
}


@pytest.mark.parametrize(("plugin", "variable", "meant"), MISSPELT.values(), ids=MISSPELT)
@pytest.mark.parametrize("way", ["run", "command"])
def test_misspelt_flow_variable_is_refused(tmp_path, monkeypatch, plugin, variable, meant, way):
    """Misspelt variable of a flow or an account is refused.

    Those of the first account were known, and no others: what was meant for a dry run was sent.
    """
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setenv("MELTANO_LOADER_NAME", plugin)
    monkeypatch.setenv(PREFIX + variable, "true")

    with pytest.raises(UnreadableError) as refused:
        TargetInsiderOne.config_from([str(path) if way == "run" else "ENV"])

    (mistake,) = refused.value.mistakes
    assert mistake == f"variable {PREFIX}{variable}: there is no such setting; did you mean {PREFIX}{meant}?"


@pytest.mark.parametrize(
    "variable",
    ["US_DRYRUN", "PROFILES_DRY_RUN", "EVENTS_API_KEY", "US_EVENTS_DRY_RUN", "PROFILES__LOG_PARSER", "X_DRYRUN"],
)
def test_valid_foreign_variables_pass(tmp_path, monkeypatch, variable):
    """Right variables and those of other accounts do not end a run.

    Which other accounts there are, a plugin cannot know.
    """
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setenv("MELTANO_LOADER_NAME", "target-insiderone-events")
    monkeypatch.setenv(PREFIX + variable, "true")

    assert TargetInsiderOne.config_from([str(path)]) == {}


def test_unknown_meltano_setting_passes_run(tmp_path, monkeypatch):
    """Unknown setting of Meltano is no variable in a run.

    `attributes_mappings:` in meltano.yml was told as a variable, which Meltano itself had set.
    """
    path = tmp_path / "config.json"
    path.write_text('{"attributes_mappings": "[]"}')
    monkeypatch.setenv("MELTANO_LOADER_NAME", "target-insiderone-us-events")
    for start in ("MELTANO_LOAD_", PREFIX, f"{PREFIX}US_", f"{PREFIX}US_EVENTS_"):
        monkeypatch.setenv(f"{start}ATTRIBUTES_MAPPINGS", "[]")

    found = {one.path: str(one) for one in find(TargetInsiderOne.config_from([str(path)]))}

    assert "did you mean `attribute_mappings`?" in found["attributes_mappings"]


def test_misspelt_variable_ends_meltano_run(tmp_path, monkeypatch):
    """Misspelt variable ends a run of Meltano.

    Commands refused it, and a run, whose settings Meltano writes into a file, sent for real.

    Without Meltano a run with a file has no business with variables.
    """
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setenv("TARGET_INSIDERONE_DRYRUN", "true")
    monkeypatch.setenv("TARGET_INSIDERONE_US_DRY_RUN", "true")

    assert TargetInsiderOne.config_from([str(path)]) == {}
    monkeypatch.setenv("MELTANO_LOADER_NAME", "target-insiderone-events")
    with pytest.raises(UnreadableError, match=r"^variable TARGET_INSIDERONE_DRYRUN: .*TARGET_INSIDERONE_DRY_RUN\?$"):
        TargetInsiderOne.config_from([str(path)])


def test_valid_file_strings_count(tmp_path):
    """Right texts in a file count. A flag is a flag, a number a number, and 30.0 is 30."""
    path = tmp_path / "config.json"
    path.write_text('{"dry_run": "yes", "skip_hook": false, "ledger_days": "30", "rejects_max_days": 30.0}')

    assert TargetInsiderOne.config_from([str(path)]) == {
        "dry_run": True,
        "skip_hook": False,
        "ledger_days": 30,
        "rejects_max_days": 30,
    }


def test_environment_wins_without_dotenv(config, target_command, tmp_path, monkeypatch):
    """The environment wins and no dotenv is read.

    The SDK looked for a file .env in every folder above, and let it win: another shop's key was used.
    """
    variables = {
        PREFIX + name.upper(): value if isinstance(value, str) else json.dumps(value) for name, value in config.items()
    }
    (tmp_path / ".env").write_text(f"{PREFIX}API_KEY={TOKEN}\n{PREFIX}PARTNER_NAME={PARTNER}\n{PREFIX}DRY_RUN=true\n")
    monkeypatch.chdir(tmp_path)

    def check(**changed):
        environment = {**os.environ, **variables, **changed}
        done = subprocess.run(
            [target_command, "check", "--config=ENV"], capture_output=True, text=True, check=False, env=environment
        )
        return done.returncode, done.stdout + done.stderr

    assert check()[0] == 0
    wrong_key, told = check(TARGET_INSIDERONE_API_KEY="wrong")
    assert (wrong_key, "api_key" in told) == (2, True), told


def test_misread_flag_sends_nothing(config, target_command, sandbox, tmp_path):
    """Through the command line: exit code 2, the variable's name, and not one request; the input is read to its end."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    lines = [schema("profiles"), *[record("profiles", profile(number)) for number in range(2_000)]]

    done = subprocess.run(
        [target_command, "--config", path, "--config", "ENV"],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TARGET_INSIDERONE_DRY_RUN": "ture"},
    )

    assert done.returncode == 2
    assert "variable TARGET_INSIDERONE_DRY_RUN: is not a boolean" in done.stderr
    assert "Traceback" not in done.stderr
    assert sandbox.journal("insiderone") == []


def test_config_error_drains_input(target_command, tmp_path):
    """Writer of the input meets no closed pipe.

    Meltano put 155 lines of BrokenPipe traceback behind the reason: more is written than a pipe holds.
    """
    path = tmp_path / "config.json"
    path.write_text("{}")
    with subprocess.Popen([target_command, "--config", path], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None

        process.stdin.write(b'{"type": "STATE", "value": {}}\n' * 200_000)
        process.stdin.close()
        told = process.stderr.read()

    assert b"partner_name" in told
    assert process.returncode == 2


@pytest.mark.parametrize("words", [[], ["check"]], ids=["loading", "check"])
def test_unknown_log_level_is_named(target_command, words):
    """An unknown log level is named. It ended in a traceback, before our code could report it."""
    done = subprocess.run(
        [target_command, *words, "--config=ENV"],
        input="",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TARGET_INSIDERONE_LOGLEVEL": "loud"},
    )

    assert done.returncode == 2
    assert "variable TARGET_INSIDERONE_LOGLEVEL: is not a log level" in done.stderr
    assert "Traceback" not in done.stderr
