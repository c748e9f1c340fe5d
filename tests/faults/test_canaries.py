"""Keys, addresses, phone numbers and names, planted everywhere, in runs that fail: none may come out anywhere.

The rejects file alone holds records; a run's output, log at DEBUG, summary, and every other file hold none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from insiderone import target_settings
from klaviyo_insiderone_sandbox.testing import TOKEN
from singer_delivery.testing import forking

BIN = Path(sys.executable).parent
KEY = "canary-token-6f1e"
EMAIL, PHONE, NAME = "canary.person@secret.example", "+905329999999", "Canaryna"
CANARIES = ("canary", "5329999999", "secret.example")
"""What is looked for, in lower case."""

PROPERTIES = {
    "id": {"type": "string"},
    "email": {"type": ["null", "string"]},
    "phone_number": {"type": ["null", "string"]},
    "first_name": {"type": ["null", "string"]},
    "updated": {"type": ["null", "string"], "format": "date-time"},
    "properties": {"type": ["null", "object"]},
}
SCHEMA = {"type": "SCHEMA", "stream": "profiles", "schema": {"properties": PROPERTIES}, "key_properties": ["id"]}
PERSON = {"id": "P1", "email": EMAIL, "phone_number": PHONE, "first_name": NAME, "properties": {"note": EMAIL}}
QUOTING = f"user {EMAIL} {PHONE} {NAME} {KEY} cannot be stored"


def record(**fields):
    return {"type": "RECORD", "stream": "profiles", "record": PERSON | fields, "time_extracted": "2026-06-01T10:00:00Z"}


MESSAGES = [SCHEMA, record(), {"type": "STATE", "value": {"bookmarks": {"position": 1}}}]

UNREADABLE = [
    f"{{{EMAIL}",
    json.dumps([EMAIL]),
    json.dumps({"type": "STATE", "value": EMAIL}),
    json.dumps({"type": "RECORD", "stream": "profiles", "record": EMAIL}),
    json.dumps({"type": "RECORD", "record": PERSON}),
]
BAD = [
    record(first_name={"given": NAME}),
    record(updated=NAME),
    record(updated=EMAIL, id=None),
    record(email=f"{NAME} at secret.example", phone_number=PHONE[1:] + "x"),
]

INPUTS = {
    "bad lines and records": [SCHEMA, *UNREADABLE, *BAD],
    "a record without a schema": [record()],
    "a schema without properties": [SCHEMA | {"schema": {"title": EMAIL}}, record()],
    "a schema that is none": [SCHEMA | {"schema": {"properties": {"email": {"pattern": f"({EMAIL}"}}}}, record()],
    "a stream named as an address": [SCHEMA | {"stream": EMAIL}],
    "a record of a stream named as an address": [record() | {"stream": EMAIL}],
    "files of a stream named as an address": [{"type": "BATCH", "stream": EMAIL}],
    "records in files": [SCHEMA, {"type": "BATCH", "stream": "profiles", "manifest": [f"file:///{EMAIL}"]}],
}

ANSWERS = {
    **{
        str(status): {"kind": "status", "status": status, "body": QUOTING}
        for status in (302, 400, 401, 403, 404, 413, 429, 500)
    },
    "400, partner": {"kind": "status", "status": 400, "body": f"Partner is invalid. {QUOTING}"},
    "429, odd header": {"kind": "status", "status": 429, "headers": {"Retry-After": EMAIL}},
    "redirect": {"kind": "status", "status": 302, "headers": {"Location": f"http://{EMAIL}/"}},
    "200, text": {"kind": "not_json", "body": QUOTING},
    "200, other shape": {"kind": "status", "status": 200, "body": json.dumps({EMAIL: [PHONE]})},
    "200, odd count": {
        "kind": "status",
        "status": 200,
        "body": json.dumps({"data": {"successful": {"count": EMAIL}, "fail": {}}}),
    },
    "200, refusal": {
        "kind": "status",
        "status": 200,
        "body": json.dumps(
            {"data": {"successful": {}, "fail": {"count": 1, "errors": {f"users.0.{EMAIL}": [QUOTING]}}}}
        ),
    },
    "200, odd place": {
        "kind": "status",
        "status": 200,
        "body": json.dumps({"data": {"successful": {}, "fail": {"count": 1, "errors": {EMAIL: [QUOTING]}}}}),
    },
    "cut off": {"kind": "truncate"},
}

SETTINGS = {
    "a misspelt secret": {"api_keyy": KEY},
    "a key of two lines": {"api_key": f"{KEY}\n{KEY}"},
    "a key of other letters": {"api_key": f"{KEY}ş"},
    "a ledger's password": {"ledger_url": f"postgresql+psycopg://canary:{KEY}@127.0.0.1:1/canary"},
    "an address with a password": {"api_url": f"http://canary:{KEY}@127.0.0.1:1"},
    "a callback": {"error_callback_endpoint": f"no address {KEY}"},
    "a mapping that is text": {"attribute_mappings": EMAIL},
    "a fixed value of a wrong type": {"fixed_attributes": [{"attribute": "age", "value": EMAIL}]},
    "a key as an unknown setting": {KEY: "x"},
    "a key as the name of the integration": {"integration_name": KEY},
    "an address as a kind's stream": {"stream_kinds": {EMAIL: "people"}},
    "an address as a key of a row": {"attribute_mappings": [{"source_field": "a", "attribute": "b", EMAIL: PHONE}]},
    "a stream map": {"stream_maps": {"profiles": {"mail": f"nonsense('{EMAIL}'"}}},
}


@pytest.fixture
def told(sandbox, tmp_path):
    """Run the target, and return everything that it lets out: ``told(messages, **settings)``; its code comes first."""
    data_dir = tmp_path / "data"

    def run(messages, *command, **settings):
        (tmp_path / "config.json").write_text(
            json.dumps(target_settings(sandbox, data_dir) | {"api_key": KEY, "max_retry_seconds": 1} | settings)
        )
        lines = [line if isinstance(line, str) else json.dumps(line) for line in messages]
        done = forking.run(
            [str(BIN / "target-insiderone"), *command, "--config", str(tmp_path / "config.json")],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"TARGET_INSIDERONE_LOGLEVEL": "DEBUG"},
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr + what_stands_in(data_dir)

    return run


def what_stands_in(data_dir):
    """All files but the rejects and the ledger, which keeps an event's bytes while its outcome is not known."""
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    kept = [path for path in files if path.name != "rejects.jsonl" and not path.name.startswith("ledger.sqlite")]
    return "".join(f"{path.relative_to(data_dir)}\n{path.read_text()}" for path in kept)


def canaries_in(text):
    """The lines with a canary in them."""
    return [line for line in text.splitlines() if any(canary in line.lower() for canary in CANARIES)]


@pytest.mark.req("IN-04")
@pytest.mark.parametrize("messages", INPUTS.values(), ids=INPUTS.keys())
def test_failing_input_stays_hidden(told, messages):
    """Failing input stays hidden. It is described by stream, field and reason."""
    _, text = told(messages, api_key=TOKEN)

    assert "exit code" in text or '"rejected": 4' in text
    assert "Traceback" not in text
    assert canaries_in(text) == []


def test_personal_names_stay_hidden(told):
    """Properties and streams named as addresses do not come out.

    Notes of the summary name properties, and its figures are those of streams: either name is data.
    """
    wildcard = [{"source_field": "properties.*", "attribute": "*"}]
    odd = record(properties={EMAIL: {"a": 1}, PHONE: [{}], "Favourite": {"a": 1}})
    kinds = {EMAIL: "profile"}

    _, text = told(
        [SCHEMA, SCHEMA | {"stream": EMAIL}, odd, odd | {"stream": EMAIL}],
        api_key=TOKEN,
        attribute_mappings=wildcard,
        stream_kinds={"profiles": "profile"} | kinds,
    )

    assert "property_left_out Favourite" in text
    assert canaries_in(text) == []


def test_message_type_stays_hidden(told):
    """Message type does not come out. A line that merely looks like a message may hold anything."""
    _, text = told([SCHEMA, {"type": NAME, "value": EMAIL}])

    assert "are skipped" in text
    assert canaries_in(text) == []


def test_changed_phone_stays_hidden(told):
    """Changed phone number of a stream keyed by address does not come out.

    `stream_kinds` admits streams whose key is the address itself.
    """
    keyed = SCHEMA | {"key_properties": ["email"]}
    told([keyed, record()], api_key=TOKEN)

    _, text = told([keyed, record(phone_number="+905319999999")], api_key=TOKEN)

    assert "identifier_changed" in text
    assert canaries_in(text) == []


@pytest.mark.req("IN-04", "IN-60")
@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS.keys())
def test_quoting_answers_stay_hidden(told, sandbox, fault):
    """Answers that quote the record do not come out.

    Insider One quotes what it refuses; its words go to the rejects file alone.
    """
    sandbox.fault("insiderone", times=None, **fault)

    code, text = told(MESSAGES)

    assert code != 0 or '"rejected": 1' in text
    assert canaries_in(text) == []


@pytest.mark.req("IN-04")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_failing_settings_stay_hidden(told, settings):
    """Settings that fail do not come out. A message names the setting, never its value."""
    code, text = told(MESSAGES, **settings)

    assert code != 0
    assert "exit code" in text
    assert canaries_in(text) == []


@pytest.mark.req("IN-04")
@pytest.mark.parametrize(
    ("command", "messages"),
    [(["check"], []), (["replay", "--all"], []), (["forget"], [EMAIL, PHONE]), (["--about", "--format=json"], [])],
    ids=["check", "replay", "forget", "about"],
)
def test_failing_commands_stay_silent(told, sandbox, command, messages):
    """Failing commands show nothing, either. The key is refused, and rejects of a canary wait in the data folder."""
    told([SCHEMA, *BAD])
    sandbox.fault("insiderone", kind="status", status=401, body=QUOTING, times=None)

    _, text = told(messages, *command)

    assert text
    assert canaries_in(text) == []


@pytest.mark.req("IN-04")
def test_stopped_run_does_not_tell(sandbox, tmp_path):
    """Stopped while a request hangs, with a batch that waits: pending records are reported as a number."""
    sandbox.fault("insiderone", kind="hang", times=None)
    settings = target_settings(sandbox, tmp_path / "data", batch_size_rows=1, request_timeout_seconds=1, api_key=KEY)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    process = subprocess.Popen(
        [str(BIN / "target-insiderone"), "--config", str(tmp_path / "config.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TARGET_INSIDERONE_LOGLEVEL": "DEBUG"},
    )
    process.stdin.write("".join(json.dumps(line) + "\n" for line in MESSAGES))
    process.stdin.flush()
    while not sandbox.journal("insiderone"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=60)

    assert process.returncode == 143
    assert '"pending": 1' in log
    assert canaries_in(out + log + what_stands_in(tmp_path / "data")) == []
