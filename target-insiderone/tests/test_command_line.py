"""The command itself: settings and their errors, signals, names in log lines, privacy of files."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from runs import finish
from singer_delivery.process import PIPE_BYTES
from singer_delivery.testing import forking
from singer_messages import order, profile, record, schema, state

CANARY_KEY = "canary-token-6f1e"
CANARIES = ("canary.person@secret.example", "+905329999999", "Canaryna", CANARY_KEY)

KEY = "0f3c9a7e5b1d2468ace013579bdf0246"
"""What a vendor's keys look like."""


def test_fork_matches_console_script(config, tmp_path):
    """Most tests run forks (`singer_delivery.testing.forking`): same exit code, STATEs, log, figures and files."""
    messages = [schema("profiles"), record("profiles", profile(1)), record("profiles", profile(2, first_name=1)), "{"]
    lines = [json.dumps(line) for line in [*messages, schema("events"), record("events", order(1)), state({"n": 1})]]
    path = tmp_path / "config.json"
    times = re.compile(r"forked|begun_|^[-\d]+ [\d:,]+|\d+\.\d+|20\d\d-[-\dTZ:.]+")

    def ending(name, start):
        data_dir = tmp_path / name
        path.write_text(json.dumps(config | {"data_dir": str(data_dir), "max_rejects": "5"}))
        ended = finish(path, "".join(line + "\n" for line in lines), data_dir, start=start)
        log = sorted(times.sub("", line) for line in ended.logs.splitlines() if "run summary" not in line)
        modes = sorted((file.name[:10], file.stat().st_mode) for file in data_dir.rglob("*"))
        return ended.code, ended.states, log, ended.summary["streams"], modes

    assert ending("forked", forking.run) == ending("begun_", subprocess.run)


def about(target_command, *options):
    """What `--about` prints."""
    done = subprocess.run([target_command, "--about", *options], capture_output=True, text=True, check=True)
    return done.stdout


def test_about_lists_the_settings(target_command):
    """Meltano and people read it; secrets are marked as such."""
    settings = json.loads(about(target_command, "--format", "json"))["settings"]["properties"]

    assert {"partner_name", "identifier_mappings", "event_mappings", "skip_hook"} <= settings.keys()
    assert {name for name, setting in settings.items() if setting.get("secret")} == {
        "api_key",
        "error_callback_endpoint",
        "ledger_url",
    }
    assert not settings.keys() & {"validate_records", "add_record_metadata", "load_method"}


@pytest.mark.req("IN-09")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"identifier_mappings": []}, "identifier_mappings", id="no identifier"),
        pytest.param({"partner_name": None}, "partner_name", id="no partner"),
        pytest.param({"api_key": ""}, "api_key", id="empty key"),
        pytest.param({"integration_name": "../elsewhere"}, "integration_name", id="a path as a name"),
        pytest.param({"batch_size_rows": 5_000}, "batch_size_rows", id="batch above the limit"),
        pytest.param({"validate_records": False}, "validate_records", id="a setting that breaks promises"),
        pytest.param({"ledger_url": "nosuchdb://user:canary-password@host/db"}, "ledger_url", id="ledger"),
    ],
)
def test_wrong_settings_exit_2(load, sandbox, settings, words):
    """Wrong settings end with code 2 before any request.

    The message names the setting and what to do, never its value.
    """
    ended = load([schema("profiles"), record("profiles", profile(1))], **settings)

    assert ended.code == 2
    assert words in ended.logs
    assert "exit code 2" in ended.logs
    assert "canary-password" not in ended.logs
    assert sandbox.journal("insiderone") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "no such file"), ('{"partner_name": "canary', "invalid JSON at line 1")],
    ids=["missing", "broken"],
)
def test_unreadable_config_file(target_command, tmp_path, text, words):
    """A config file that cannot be read. The most frequent mistake of all deserves one clear line."""
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)

    done = subprocess.run([target_command, "--config", path], capture_output=True, text=True, check=False, input="")

    assert done.returncode == 2
    assert words in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"integration_name": KEY}, id="a name"),
        pytest.param({"data_dir": f"/dev/null/{KEY}"}, id="a folder that cannot be made"),
        pytest.param({"event_mappings": [{"metric_name": "Bought", "event_type": KEY.upper()}]}, id="an event type"),
        pytest.param({"attribute_mappings": [{"source_field": "a", "attribute": f"c_{KEY}"}]}, id="an attribute"),
        pytest.param(
            {"attribute_mappings": [{"source_field": "a", "attribute": "name", "transform": KEY}]}, id="a transform"
        ),
        pytest.param({"identifier_mappings": [{"identifier_type": KEY, "source_field": "a"}]}, id="an identifier type"),
    ],
)
def test_pasted_key_is_hidden(load, settings):
    """A key that was pasted into a name is not shown.

    It stood in the paths of the log and of the summary, and in the words of findings.
    """
    ended = load([schema("profiles"), record("profiles", profile(1))], **settings)

    assert KEY not in ended.logs.lower()
    assert KEY not in json.dumps(ended.summary)


@pytest.mark.req("IN-06")
def test_log_lines_name_integration(load):
    """The integration name stands in every log line. The lines of several pipelines end up in one log."""
    ended = load([schema("profiles"), record("profiles", profile(1))], integration_name="shop-tr", skip_hook=True)

    lines = [line for line in ended.logs.splitlines() if " | " in line]
    assert lines
    assert [line for line in lines if "[shop-tr]" not in line] == []


@pytest.mark.req("IN-06")
def test_integrations_share_nothing(load, tmp_path):
    """Integrations with different names share nothing.

    Neither ledger nor rejects nor summaries, though the data folder is one.
    """
    messages = [schema("events"), record("events", order(1)), record("events", order(2, profile={"email": "x"}))]

    first = load(messages, integration_name="one")
    second = load(messages, integration_name="two")

    assert first.counts("events") == second.counts("events") == {"read": 2, "delivered": 1, "rejected": 1}
    for name in ("one", "two"):
        folder = tmp_path / "data" / name
        assert len((folder / "rejects.jsonl").read_text().splitlines()) == 1
        assert len(list(folder.glob("summary-*.json"))) == 1


def test_files_are_private(load, tmp_path):
    """Rejects and ledger hold personal data."""
    load([schema("profiles"), record("profiles", profile(1, first_name=1)), record("profiles", profile(2))])

    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "data").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.req("IN-05")
def test_summary_has_settings_hash(load):
    """The summary names the settings by a hash. Who changed what is visible; secrets do not go in."""
    first = load([]).summary["settings_hash"]

    assert load([], api_key="another").summary["settings_hash"] == first
    assert load([], skip_hook=True).summary["settings_hash"] != first


def test_terminal_summary_is_a_table(config, tmp_path, target_command):
    """A terminal gets the summary as a table. People read rows and columns; machines get the JSON line."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    lines = [schema("profiles"), record("profiles", profile(1)), record("profiles", profile(2, first_name=1))]
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [target_command, "--config", path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=follower
    )
    os.close(follower)

    process.communicate("".join(json.dumps(line) + "\n" for line in lines).encode(), timeout=60)
    shown = b""
    with suppress(OSError):  # how a terminal ends
        while part := os.read(leader, 10_000):
            shown += part
    os.close(leader)

    table = shown.decode()
    assert [word for word in ("read", "delivered", "rejected", "profiles") if word not in table] == []
    assert "profiles: rejected: invalid_record 1" in table
    assert "run summary" not in table


@pytest.mark.req("IN-04")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(None, id="wrong key"),
        pytest.param({"kind": "status", "status": 401, "body": f"key {CANARY_KEY} unknown"}, id="401"),
        pytest.param({"kind": "status", "status": 400, "body": " ".join(CANARIES)}, id="400"),
        pytest.param({"kind": "status", "status": 500, "body": " ".join(CANARIES)}, id="500"),
        pytest.param({"kind": "status", "status": 200, "body": json.dumps(CANARIES)}, id="odd answer"),
        pytest.param({"kind": "reset"}, id="reset"),
    ],
)
def test_logs_contain_no_secrets(load, sandbox, fault):
    """No secret and no person in logs or state. At the DEBUG level, too, and however the run ends."""
    if fault:
        sandbox.fault("insiderone", times=None, **fault)
    email, phone, name, _ = CANARIES
    person = profile(1, email=email, phone_number=phone, first_name=name)
    bad = profile(2, email=email, first_name={"x": name})

    ended = load(
        [schema("profiles"), record("profiles", person), record("profiles", bad), "{" + email, state({"n": 1})],
        api_key=CANARY_KEY,
        max_retry_seconds=1,
    )

    told = ended.logs + json.dumps(ended.states) + json.dumps(ended.summary)
    assert ended.logs.count("run summary") == 1
    assert [canary for canary in CANARIES if canary in told] == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_signal_settles_requests_in_flight(config, tmp_path, target_command, signum, code):
    """A signal settles what is under way and says so.

    The SDK's target exits 0 and drops the batch (S8); ours keeps the STATE that is true and names the signal.
    """
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"batch_size_rows": 10, "max_parallel_requests": 1}))
    process = subprocess.Popen(
        [target_command, "--config", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    settled = [schema("profiles"), *(record("profiles", profile(number)) for number in range(10)), state({"n": 10})]
    unsettled = [*(record("profiles", profile(number)) for number in range(10, 15)), state({"n": 15})]
    process.stdin.write("".join(json.dumps(message) + "\n" for message in settled + unsettled))
    process.stdin.flush()
    first_state = process.stdout.readline()

    process.send_signal(signum)
    out, logs = process.communicate(timeout=60)

    assert process.returncode == code
    assert json.loads(first_state) == {"bookmarks": {"n": 10}}
    assert out == ""
    assert f"exit code {code}" in logs
    (summary,) = (tmp_path / "data" / "klaviyo").glob("summary-*.json")
    figures = json.loads(summary.read_text())["streams"]["profiles"]
    assert (figures["read"], figures["delivered"], figures["pending"]) == (15, 10, 5)


def test_second_run_ends_at_once(config, tmp_path, target_command, load):
    """A second run of the same stream ends at once.

    Two runs of one pipeline at a time would double its work and mix its order.
    """
    path = tmp_path / "first.json"
    path.write_text(json.dumps(config | {"batch_size_rows": 1}))
    first = subprocess.Popen(
        [target_command, "--config", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    messages = [schema("profiles"), record("profiles", profile(1)), state({"n": 1})]
    first.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
    first.stdin.flush()
    first.stdout.readline()

    second = load(messages)
    other_stream = load([schema("events"), record("events", order(1))])
    first.communicate(timeout=60)

    assert second.code == 1
    assert "another run of this integration is loading it" in second.logs
    assert other_stream.code == 0
    assert first.returncode == 0


def test_settings_come_from_the_environment(config, sandbox, target_command):
    """`--config ENV`: what containers and schedulers use."""
    settings = {
        f"TARGET_INSIDERONE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
    lines = [schema("profiles"), record("profiles", profile(1)), state({"n": 1})]

    done = subprocess.run(
        [target_command, "--config", "ENV"],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | settings,
    )

    assert done.returncode == 0, done.stderr
    assert len(sandbox.users()) == 1


@pytest.mark.parametrize(
    ("maps", "outcome"),
    [
        pytest.param({"profiles": {"first_name": "'Mapped'"}}, {"read": 1, "delivered": 1}, id="changed"),
        pytest.param({"profiles": {"__filter__": "first_name == 'Nobody'"}}, {"read": 1, "filtered": 1}, id="filtered"),
        pytest.param({"profiles": None}, {}, id="removed"),
    ],
)
def test_stream_maps_are_accounted_for(load, sandbox, maps, outcome):
    """Stream maps work and are accounted for. The SDK's maps stay usable, and what they take out is counted."""
    ended = load([schema("profiles"), record("profiles", profile(1))], stream_maps=maps)

    assert ended.code == 0, ended.logs
    if outcome:
        assert ended.counts("profiles") == outcome
    assert [user["attributes"]["name"] for user in sandbox.users()] == ["Mapped"] * outcome.get("delivered", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems size their pipes themselves")
def test_input_pipe_holds_a_page(target_command, config, tmp_path):
    """Pipe that is read from holds a page. It holds 64 kB by itself, and a page of events has 1 MB."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as end:
        subprocess.run([target_command, "--config", path], stdin=end, capture_output=True, check=True)

        assert fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) == PIPE_BYTES
