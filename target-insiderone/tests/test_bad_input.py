"""Input that is wrong costs as little as it can, and says what to do."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess

import pytest
from singer_delivery.reader import MessageReader
from singer_delivery.sink import RecordValidator
from singer_messages import order, profile, record, schema, state
from singer_sdk.exceptions import InvalidJSONSchema

CANARY = "canary.person@secret.example"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        pytest.param({"first_name": {"not": "text"}}, "invalid_record", "first_name", id="wrong type"),
        pytest.param({"updated": "yesterday"}, "invalid_datetime", "updated", id="bad date-time"),
        pytest.param({"id": None}, "missing_key", "id", id="no key"),
    ],
)
def test_bad_record_costs_itself(load, fields, code, field):
    """A bad record costs itself only.

    The SDK would end the run, print the value, and send nothing of the batch (S1 to S3).
    """
    bad = profile(1, email=CANARY) | fields
    good = [record("profiles", profile(number)) for number in (2, 3)]

    ended = load([schema("profiles"), record("profiles", bad), *good, state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 3, "delivered": 2, "rejected": 1}
    assert [(reject["code"], reject["field"], reject["record"]) for reject in ended.rejects] == [(code, field, bad)]
    assert len(ended.states) == 1
    assert CANARY not in ended.logs


def test_our_bug_costs_one_record(load, sandbox, tmp_path, monkeypatch):
    """A bug of ours costs one record.

    The run goes on, the record is kept, and the log tells the place without quoting the record.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import singer_delivery.sink as sinks\n"
        "original = sinks.read_time\n"
        "def read_time(at):\n"
        "    if at == 'break':\n"
        f"        raise KeyError({CANARY!r})\n"
        "    return original(at)\n"
        "sinks.read_time = read_time\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    records = [record("profiles", profile(1), "break"), record("profiles", profile(2))]

    ended = load([schema("profiles"), *records, state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert len(ended.states) == 1
    assert ended.counts("profiles") == {"read": 2, "delivered": 1, "rejected": 1}
    assert [reject["code"] for reject in ended.rejects] == ["unforeseen"]
    assert "unforeseen KeyError at " in ended.logs
    assert CANARY not in ended.logs
    assert len(sandbox.users()) == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"type": "RECORD", "stream": "profiles", "record": {"email": "' + CANARY, id="cut off"),
        pytest.param(f'"{CANARY}"', id="no object"),
        pytest.param(json.dumps({"record": {"email": CANARY}}), id="no type"),
        pytest.param(
            json.dumps(record("profiles", {"email": CANARY}) | {"type": "ROW"}), id="a record of another type"
        ),
        pytest.param(json.dumps({"type": "RECORD", "stream": "profiles", "record": CANARY}), id="record is text"),
        pytest.param(json.dumps({"type": "RECORD", "record": {"email": CANARY}}), id="no stream"),
        pytest.param("\udcff\udcfe" + CANARY, id="not UTF-8"),
        pytest.param("[" * 200_000, id="nested too deep"),
        pytest.param('{"type": "RECORD", "stream": "profiles", "record": {"n": NaN}}', id="NaN"),
    ],
)
def test_broken_line_is_kept(load, line):
    """A broken line is counted and kept.

    It is no record of any stream, but it must not vanish either, nor show up in a log.
    """
    ended = load([schema("profiles"), line, record("profiles", profile(2)), state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert ended.counts("(unreadable)") == {"read": 1, "rejected": 1}
    assert ended.counts("profiles") == {"read": 1, "delivered": 1}
    assert [reject["code"] for reject in ended.rejects] == ["unreadable"]
    assert len(ended.states) == 1
    assert CANARY not in ended.logs


def test_lone_byte_order_marks_pass(load):
    """Byte order marks between lines are no records.

    Files that were joined hold several, also on lines of their own; these were rejects.
    """
    mark = "\ufeff"
    ended = load(
        [mark, schema("profiles"), mark, mark * 2 + json.dumps(record("profiles", profile(1))), state({"n": 1})]
    )

    assert ended.summary["streams"].keys() == {"profiles"}
    assert ended.counts("profiles") == {"read": 1, "delivered": 1}


def test_record_needs_schema(load, sandbox):
    """A record before its schema ends the run.

    Its type is unknown, so nothing about it can be promised; what stood before it is settled.
    """
    ended = load([schema("profiles"), record("profiles", profile(1)), state({"n": 1}), record("events", order(1))])

    assert ended.code == 1
    assert "stream events: a RECORD came before its SCHEMA" in ended.logs
    assert ended.states == [{"bookmarks": {"n": 1}}]
    assert len(sandbox.users()) == 1


def test_unknown_stream_is_refused(load):
    """An unknown stream is refused at its schema.

    Guessing whether a stream holds people or events would write nonsense.
    """
    unknown = {**schema("profiles"), "stream": "campaigns"}

    ended = load([unknown, {**record("profiles", profile(1)), "stream": "campaigns"}])

    assert ended.code == 2
    assert "stream_kinds.campaigns" in ended.logs
    assert "deselect it in the tap" in ended.logs


def test_stream_kind_can_be_set(load):
    """A stream can be given a kind. Other taps name their streams otherwise."""
    renamed = [{**schema("profiles"), "stream": "people"}, {**record("profiles", profile(1)), "stream": "people"}]

    ended = load(renamed, stream_kinds={"people": "profile"})

    assert ended.counts("people") == {"read": 1, "delivered": 1}


@pytest.mark.parametrize(
    ("code", "declared"),
    [
        pytest.param(2, {"type": "object"}, id="without properties"),
        pytest.param(2, {"properties": {"id": {"type": "nonsense"}}}, id="invalid"),
        pytest.param(2, {"properties": {"id": {"$ref": "#/nowhere"}}}, id="reference to nothing"),
        pytest.param(2, {"properties": {"id": json.loads('{"not":' * 300 + "{}" + "}" * 300)}}, id="nested deep"),
    ],
)
def test_invalid_schema_ends_run(load, code, declared):
    """A schema that cannot be used ends the run. Without a schema nothing can be validated."""
    ended = load([{"type": "SCHEMA", "stream": "profiles", "schema": declared}, record("profiles", profile(1))])

    assert ended.code == code
    assert "stream profiles: its SCHEMA" in ended.logs
    assert "unforeseen" not in ended.logs
    assert "Traceback" not in ended.logs


ELSEWHERE = {
    "a property": {"properties": {"id": {"$ref": "{url}/a.json"}}},
    "within": {"properties": {"id": {"anyOf": [{"type": "string"}, {"$ref": "{url}/a.json#/x"}]}}},
    "beside its own address": {"$id": "{url}/schema", "properties": {"id": {"$ref": "a.json"}}},
    "its own meta-schema": {"$schema": "{url}/a.json", "properties": {"id": {}}},
    "a file": {"properties": {"id": {"$ref": "file://{path}"}}},
}


@pytest.mark.parametrize("declared", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_schema_references_are_not_fetched(tmp_path, declared):
    """Nothing is fetched that a schema names.

    Whoever writes the input could have the target ask any address of its network, or read any file.
    """
    (tmp_path / "a.json").write_text('{"type": "string"}')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        text = json.dumps(declared).replace("{url}", url).replace("{path}", str(tmp_path / "a.json"))

        with pytest.raises(InvalidJSONSchema, match="nothing is fetched"):
            RecordValidator(json.loads(text))

        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_schema_reference_ends_run(load):
    """A schema that names another document ends the run. With the name of the stream, as a mistake to correct."""
    declared = {"properties": {"id": {"$ref": "http://127.0.0.1:9/id.json"}}}

    ended = load([{"type": "SCHEMA", "stream": "profiles", "schema": declared}, record("profiles", profile(1))])

    assert ended.code == 2
    assert "stream profiles: its SCHEMA cannot be used" in ended.logs


def test_deepest_records_are_rejects(load):
    """Records nested to the limit of what can be read are rejects.

    What could just be read could not be decoded again a few calls deeper, to be kept as a reject: the run ended.
    """
    bad = [profile(number, first_name=7, properties={"deep": "DEEP"}) for number in range(940, 1_000)]
    lines = [
        json.dumps(record("profiles", fields)).replace('"DEEP"', "[" * number + "]" * number)
        for number, fields in enumerate(bad, 940)
    ]

    for _ in range(2):  # the second run finds them in its file
        ended = load([schema("profiles"), *lines, record("profiles", profile(1)), state({"n": 1})], max_rejects="60")

        assert ended.code == 0, ended.logs
        assert ended.counts("profiles")["delivered"] == 1
        assert len(ended.states) == 1
        rejects = (ended.data_dir / "klaviyo/rejects.jsonl").read_text()  # json cannot decode them
        assert set(re.findall(r'"code":"(\w+)"', rejects)) == {"invalid_record", "unreadable"}
        assert {f'"key":"P{number}"' in rejects for number in range(940, 970)} == {True}


def test_rejects_nested_deep_are_replayed(load, target_command, tmp_path):
    """A command decodes them as well as a run does."""
    bad = json.dumps(record("profiles", profile(1, first_name=7, properties={"deep": "DEEP"})))
    load([schema("profiles"), bad.replace('"DEEP"', "[" * 970 + "]" * 970)], max_rejects="60")

    done = subprocess.run(
        [target_command, "replay", "--all", "--config", tmp_path / "config.json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "replayed 1 reject" in done.stdout


def test_unknown_messages_are_skipped(load):
    """Messages that Singer does not define are passed over.

    Taps add their own; one warning a type, and no end of the run (S11).
    """
    odd = {"type": "PROGRESS", "percent": 10}

    ended = load([schema("profiles"), odd, odd, record("profiles", profile(1))])

    assert ended.code == 0
    assert ended.logs.count("type PROGRESS") == 1
    assert ended.counts("profiles") == {"read": 1, "delivered": 1}


def test_other_type_spellings_are_read(load):
    """A type in other letters is read.

    A line of type `record` was passed over, with a warning and exit code 0, and the STATE passed it.
    """
    lines = [
        schema("profiles") | {"type": "schema"},
        record("profiles", profile(1)) | {"type": "record"},
        record("profiles", profile(2)) | {"type": " Record"},
        state({"n": 1}) | {"type": "STATE "},
    ]

    ended = load(lines)

    assert ended.counts("profiles") == {"read": 2, "delivered": 2}
    assert ended.states == [{"bookmarks": {"n": 1}}]


def test_batch_messages_are_refused(load):
    """Records in files would escape the accounting."""
    ended = load([schema("profiles"), {"type": "BATCH", "stream": "profiles", "encoding": {}, "manifest": []}])

    assert ended.code == 1
    assert "unset batch_config" in ended.logs


def test_empty_input_succeeds(load):
    """A run without news is a good run."""
    ended = load([])

    assert ended.code == 0
    assert ended.states == []


def test_second_schema_continues_stream(load):
    """Two schemas of one stream continue it. A tap may send its SCHEMA again, also changed, in the middle."""
    changed = schema("profiles")
    changed["schema"] = {"type": "object", "properties": {"id": {"type": "string"}}}

    ended = load(
        [
            schema("profiles"),
            record("profiles", profile(1)),
            changed,
            record("profiles", profile(2)),
            schema("profiles"),
        ]
    )

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 2, "delivered": 2}


def test_too_many_rejects_fail_run(load):
    """Too many rejects fail the run.

    More than a tenth rejected, by default, is a mistake in the mapping and not in the data.
    """
    good = [record("profiles", profile(number)) for number in range(100)]
    bad = [record("profiles", profile(number, first_name=1)) for number in range(100, 120)]

    ended = load([schema("profiles"), *good, *bad, state({"n": 1})])
    tolerant = load([schema("profiles"), *good, *bad], max_rejects=20)
    strict = load([schema("profiles"), *good[:3], bad[0]], max_rejects=0)

    assert ended.code == 3
    assert "20 of 120 records were rejected" in ended.logs
    assert len(ended.states) == 1
    assert tolerant.code == 0
    assert strict.code == 3


def test_percentage_needs_many_rows(load):
    """A percentage needs rows to count. One bad record of three is no verdict on the mapping."""
    ended = load([schema("profiles"), record("profiles", profile(1, first_name=1)), record("profiles", profile(2))])

    assert ended.code == 0


def test_numbers_survive_exactly(load, sandbox, config):
    """Money and 20-digit ids are not floats."""
    config["attribute_mappings"] = [
        {"source_field": "properties.big", "attribute": "big"},
        {"source_field": "properties.price", "attribute": "price"},
    ]
    text = json.dumps(record("profiles", profile(1, properties={"big": 1, "price": 2})))
    text = text.replace('"big": 1', '"big": 12345678901234567890123').replace('"price": 2', '"price": 0.1000')

    load([schema("profiles"), text])

    (user,) = sandbox.users(exact=True)
    assert str(user["attributes"]["custom"]["big"]) == "12345678901234567890123"
    assert str(user["attributes"]["custom"]["price"]) == "0.1000"


def test_nonfile_input_is_read(monkeypatch):
    """Input that is not a file is read, too.

    Programs that embed the target, and test runners, put a text of their own in the place of standard input.
    """
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a line\n")))

    assert MessageReader().default_input.readline() == b"a line\n"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("1e400", id="beyond a double"),
        pytest.param("-1e400", id="below a double"),
        pytest.param("1e-400", id="nearer to zero than a double"),
        pytest.param("9" * 400, id="400 digits"),
        pytest.param("9" * 5_000, id="more digits than Python reads"),
        pytest.param("1e9999999999999999999", id="an exponent of 19 digits"),
    ],
)
def test_huge_number_costs_itself(load, sandbox, number):
    """A number beyond a double costs nobody else.

    Insider One calls a request with one no JSON: 20 people got nothing, in every run again.
    """
    at = "0.25"
    odd = record("profiles", profile(1, properties={"tier": at}))
    order_line = record("events", order(1, event_properties={"OrderId": "O", "Items": [{"ItemPrice": 0.25}]}))
    lines = [schema("profiles"), json.dumps(odd).replace('"0.25"', number), record("profiles", profile(2))]
    lines += [schema("events"), json.dumps(order_line).replace("0.25", number), record("events", order(2))]

    ended = load([*lines, state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 2, "delivered": 2}
    assert ended.counts("events") == {"read": 2, "delivered": 1, "rejected": 1}
    assert len(ended.states) == 1
    assert len(sandbox.users()) == 2


@pytest.mark.parametrize("number", ["1e400", "9" * 5_000], ids=["beyond a double", "5,000 digits"])
def test_numeric_key_costs_its_record(load, number):
    """A number as key costs its record. The SCHEMA wants a text: the record is kept as it came, with every digit."""
    odd = json.dumps(record("profiles", profile(1, id="odd"))).replace('"odd"', number)

    ended = load([schema("profiles"), odd, record("profiles", profile(2)), state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 2, "delivered": 1, "rejected": 1}
    assert "unforeseen" not in ended.logs
