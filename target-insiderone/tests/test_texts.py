"""Texts from outside are read in the encoding they were written in, or refused by the name of their file."""

from __future__ import annotations

import json

import pytest
from singer_delivery.testing import forking
from singer_delivery.texts import UnreadableError, json_object
from singer_messages import profile, record, schema, state

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
LINES = [schema("profiles"), record("profiles", profile(1, first_name="Zoë Ă")), state({"n": 1})]
INPUT = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES)


@pytest.fixture
def run(target_command, config, tmp_path):
    """Run the command with the configuration and the input in these bytes."""

    def run(*words: str, given: bytes = b"", written: bytes | None = None):
        path = tmp_path / "config.json"
        path.write_bytes(json.dumps(config).encode() if written is None else written)
        done = forking.run(
            [target_command, *words, "--config", path], input=given, capture_output=True, check=False, timeout=60
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_input_encodings_are_detected(run, sandbox, encoding):
    """Input is read in the encoding it was written in.

    PowerShell's `>` writes UTF-16; a mark before the first line made the SCHEMA unreadable.
    """
    code, states, log = run(given=INPUT.replace("\n", "\r\n").encode(encoding))

    assert (code, json.loads(states)) == (0, {"bookmarks": {"n": 1}}), log
    assert [user["attributes"]["name"] for user in sandbox.users()] == ["Zoë Ă"]


def test_concatenated_marks_are_ignored(run, sandbox):
    """Input that was joined holds several marks. `cat first.jsonl second.jsonl`."""
    text = "".join("\ufeff" + json.dumps(line) + "\n" for line in LINES)

    code, states, log = run(given=text.encode())

    assert (code, json.loads(states)) == (0, {"bookmarks": {"n": 1}}), log
    assert len(sandbox.users()) == 1


def test_input_options_read_alike(run, tmp_path):
    """Input file and preview read as the run does. `--input` and `preview` take the same files."""
    path = tmp_path / "input.jsonl"
    path.write_bytes(INPUT.encode("utf-16"))

    code, states, log = run("--input", str(path))
    _, shown, _ = run("preview", given=INPUT.encode("utf-16"))

    assert (code, json.loads(states)) == (0, {"bookmarks": {"n": 1}}), log
    assert "Zoë" in shown


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_settings_encodings_are_detected(run, config, encoding):
    """Settings are read in the encoding they were written in.

    An editor's mark or PowerShell's `>` is no mistake in the settings.
    """
    assert run("check", written=json.dumps(config).encode(encoding))[0] == 0


UNREADABLE = {
    "another encoding": ('{"default_currency": "€"}'.encode("cp1252"), "is not UTF-8"),
    "torn UTF-16": ("{}".encode("utf-16")[:-1], "is not UTF-16"),
    "broken": (b'{"partner_name": "canary', "invalid JSON at line 1"),
    "a list": (b"[]", "is not a JSON object"),
    "not a number": (b'{"ledger_days": NaN}', "invalid JSON"),
    "empty": (b"", "invalid JSON"),
    "nested deep": (b'{"a":' * 100_000, "invalid JSON"),
}


@pytest.mark.parametrize(("written", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file_is_named(tmp_path, written, words):
    """File that cannot be read is named. With the option that named it; nothing of its content is shown."""
    path = tmp_path / "given.json"
    path.write_bytes(written)

    with pytest.raises(UnreadableError) as refused:
        json_object(path, "--config")

    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"--config: {path}: {words}")
    assert "canary" not in mistake


@pytest.mark.parametrize("written", [b"{", "€".encode("cp1252")], ids=["broken", "another encoding"])
def test_the_right_file_is_blamed(run, tmp_path, written):
    """The tap's settings were blamed on `--config`, or ended in a traceback."""
    path = tmp_path / "tap.json"
    path.write_bytes(written)

    code, _, log = run("check", "--tap-config", str(path))

    assert code == 2
    assert f"--tap-config: {path}: " in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "tap", [{"lookback_window_days": "a"}, {"lookback_window_days": [1]}, {"event_metrics": "Placed Order"}], ids=str
)
def test_mistyped_tap_settings_are_refused(run, tmp_path, tap):
    """Settings of the tap with wrong types are refused. They were compared, or ended in a traceback."""
    path = tmp_path / "tap.json"
    path.write_text(json.dumps(tap))

    code, _, log = run("check", "--tap-config", str(path))

    assert code == 2
    assert f"--tap-config: {path}: " in log


def test_address_list_encoding_is_detected(run):
    """List of addresses is read in its encoding. A mark before the first address hid it from `forget`."""
    for encoding in ("utf-8-sig", "utf-16"):
        run(given=INPUT.encode())
        code, told, log = run("forget", given="person1@shop.example\r\n".encode(encoding))

        assert code == 0, log
        assert "1 profile(s) of the ledger" in told
