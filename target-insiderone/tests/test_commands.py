"""check, preview, replay, forget: what a person uses beside the pipe."""

from __future__ import annotations

import csv
import json
import re
import subprocess

import pytest
from singer_delivery.commands.check import credential_findings
from singer_delivery.destination import RowRefusedError, StopSendingError
from singer_delivery.memory.addresses import Addresses
from singer_delivery.memory.ledger import Ledger
from singer_delivery.sending.transport import GaveUpError, HttpTransport
from singer_delivery.testing import forking
from singer_messages import order, profile, record, schema, state
from target_insiderone.api.answers import PARTNER_UNKNOWN
from target_insiderone.mapping import transforms
from target_insiderone.mapping.panel import TYPES
from target_insiderone.settings.findings import parse_settings
from target_insiderone.target import TargetInsiderOne

BY_ID = [{"identifier_type": "uuid", "source_field": "id"}]


@pytest.fixture
def command(target_command, config, tmp_path):
    """Run one of the commands; returns its exit code and what it printed on either stream."""

    def run(*words: str, given: str = "", **settings):
        path = tmp_path / "command.json"
        path.write_text(json.dumps(config | settings))
        done = forking.run(
            [target_command, words[0], "--config", path, *words[1:]],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_check_of_good_settings_passes(command, sandbox):
    """Check finds nothing in good settings and writes nothing.

    It asks for a profile that does not exist, which reads only.
    """
    code, told = command("check", default_currency="EUR")

    assert code == 0, told
    assert "nothing to correct" in told
    assert re.search(r"^  attribute +tier +unknown +attribute_mappings\[1\]$", told, re.MULTILINE)
    assert {request["path"] for request in sandbox.journal("insiderone")} == {"/api/user/v1/profile"}
    assert sandbox.users() == []


NAMES = {
    "identifier_mappings": [
        {"identifier_type": "email", "source_field": "email"},
        {"identifier_type": "custom.klaviyo_id", "source_field": "id"},
    ],
    "attribute_mappings": [
        {"source_field": "first_name", "attribute": "name"},
        {"source_field": "created", "attribute": "klaviyo_created"},
        {"source_field": "visits", "attribute": "visits", "transform": ["default:0", "integer"]},
        {"source_field": "properties.*", "attribute": "*"},
    ],
    "fixed_attributes": [{"attribute": "data_source", "value": "klaviyo"}],
    "fixed_event_parameters": [{"parameter": "is_import", "value": True}],
    "event_mappings": [
        {
            "metric_name": "Placed Order",
            "event_type": "bought",
            "for_each": "Items",
            "parameter_mappings": [{"source_field": "ItemPrice", "parameter": "paid"}],
            "fixed_parameters": [{"parameter": "shop", "value": 7}],
        },
        {"metric_name": "Viewed Product", "event_type": "product_detail_page_view"},
    ],
}
TO_DEFINE = [
    ("identifier", "klaviyo_id", "string"),
    ("attribute", "data_source", "string"),
    ("attribute", "klaviyo_created", "datetime"),
    ("attribute", "visits", "number"),
    ("event", "bought", "event"),
    ("event parameter", "is_import", "boolean"),
    ("event parameter", "klaviyo_event_id", "string"),
    ("event parameter", "line", "number"),
    ("event parameter", "paid", "unknown"),
    ("event parameter", "shop", "number"),
]


def test_check_lists_names_to_define(command):
    """Check lists all names that must be defined.

    Fixed values, the event's id, the line and custom identifiers were not among them: what is missing is dropped.
    """
    code, told = command("check", "--format", "csv", **NAMES)
    rows = list(csv.DictReader(line for line in told.splitlines() if line.count(",") >= 3))

    assert code == 0, told
    assert [(row["kind"], row["name"], row["type"]) for row in rows] == TO_DEFINE
    assert rows[6]["used_by"] == "bought, product_detail_page_view"
    assert "`properties.*` makes an attribute of every property; give Singer lines with --input" in told


def test_transform_types_are_known():
    """The type of every transform is known.

    `check` tells it to whoever defines the name; the others pass on what they are given.
    """
    assert transforms.NAMES - TYPES.keys() == {"first", "default", "map"}


def test_check_reads_property_names(command, tmp_path):
    """Check reads the names of properties from records.

    Only the shop's records know them; five attributes of 401 people were dropped unseen.
    """
    lines = [
        schema("profiles"),
        record("profiles", profile(1, properties={"Shoe Size": 42, "Tags": ["a"], "VIP": True, "since": "2026-01-02"})),
        record("profiles", profile(2, properties={"Shoe Size": "42.5"})),
        schema("events"),
        record("events", order(1, items=1)),
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    code, told = command("check", "--format", "json", "--input", str(path), **NAMES)

    listed = json.loads(told[told.index("{") : told.rindex("}") + 1])
    types = {(row["kind"], row["name"]): row["type"] for row in listed["names"]}
    assert code == 0
    assert (
        types.items()
        >= {
            ("attribute", "shoe_size"): "number or string",
            ("attribute", "tags"): "string array",
            ("attribute", "vip"): "boolean",
            ("attribute", "since"): "datetime",
            ("event parameter", "paid"): "number",
        }.items()
    )
    assert {(kind, name) for kind, name, _ in TO_DEFINE} <= types.keys()
    assert listed["findings"] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"api_key": "wrong"}, "UCD key", id="wrong key"),
        pytest.param({"partner_name": "nobody"}, "partner_name", id="unknown partner"),
        pytest.param({"event_mappings": [{"metric_name": "X", "event_type": "Bad Name"}]}, "event_type", id="mapping"),
        pytest.param({"ledger_url": "nosuchdb://x"}, "ledger_url", id="ledger"),
    ],
)
def test_check_says_what_to_correct(command, settings, words):
    """Before anything is sent, and with an exit code that a deployment can stop at."""
    code, told = command("check", **settings)

    assert code == 2
    assert words in told


def test_check_finds_misspelt_sources(command, tmp_path):
    """Check finds what the records call otherwise.

    It was said on standard error alone, above "nothing to correct" and exit code 0.
    """
    mapping = {
        "identifier_mappings": [{"identifier_type": "email", "source_field": "emial"}, BY_ID[0]],
        "attribute_mappings": [
            {"source_field": "location.cuntry", "attribute": "country"},
            {"source_field": "nowhere", "attribute": "nickname"},
        ],
        "event_mappings": [
            {"metric_name": "Placed Order", "event_type": "bought", "for_each": "Itms"},
            {"metric_name": "viewed product", "event_type": "looked"},
        ],
    }
    lines = [
        schema("profiles"),
        record("profiles", profile(1, location={"country": "Turkey"})),
        schema("events"),
        record("events", order(1, items=1)),
        record("events", {**order(2, items=1), "metric_name": "Viewed Product"}),
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    code, told = command("check", "--format", "json", "--input", str(path), **mapping)

    found = {one["path"]: one["text"] for one in json.loads(told[told.index("{") : told.rindex("}") + 1])["findings"]}
    meant = {
        "identifier_mappings[0].source_field": "email",
        "attribute_mappings[0].source_field": "location.country",
        "event_mappings[0].for_each": "Items",
        "event_mappings[1].metric_name": "Viewed Product",
    }
    assert code == 2
    assert found.keys() == meant.keys(), told
    assert not [path for path, name in meant.items() if f"did you mean `{name}`?" not in found[path]]
    assert "Turkey" not in told


def test_check_finds_unmapped_metrics(command, tmp_path):
    """Check finds that no metric of the records is mapped.

    Nothing would be delivered, and no name is near enough to be suggested.
    """
    path = tmp_path / "lines.jsonl"
    lines = [schema("events"), record("events", {**order(1, items=1), "metric_name": "Bought"})]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    code, told = command("check", "--input", str(path), default_currency="EUR")

    assert code == 2
    assert "WARNING  event_mappings: stream events: none of its 1 record(s) has a metric that event_mappings" in told
    assert "`Bought`" in told


def test_check_compares_tap_settings(command, tmp_path):
    """Check holds the taps settings against ours.

    A ledger that forgets before the tap's look-back ends would let events through twice.
    """
    tap = tmp_path / "tap.json"
    tap.write_text(json.dumps({"lookback_window_days": 40, "event_metrics": ["Placed Order", "viewed product"]}))

    code, told = command("check", "--tap-config", str(tap))

    assert code == 2
    assert "set ledger_days above 40" in told
    assert "metric 'Viewed Product' is mapped, but the tap's event_metrics does not name it" in told
    assert "did you mean `viewed product`? Names are compared exactly" in told


def test_preview_shows_left_out(command, sandbox):
    """Preview shows what would be sent and what not. A person judges a mapping by it; nothing is sent."""
    lines = [
        schema("profiles"),
        record("profiles", profile(1, phone_number="12", organization="Acme", properties={"tier": "gold", "odd": 1})),
        record("profiles", {"id": "P2"}),
        schema("events"),
        record("events", order(3, items=2)),
    ]

    code, told = command("preview", "--format", "json", given="".join(json.dumps(line) + "\n" for line in lines))
    first, second, third = (json.loads(line) for line in told.splitlines() if line.startswith("{"))

    assert code == 0, told
    assert first["user"]["attributes"] == {"name": "Name 1", "custom": {"tier": "gold"}}
    assert first["left_out"] == ["identifier_skipped: phone_number"]
    assert first["not_mapped"] == ["id", "organization", "properties.odd"]
    assert (second["outcome"], second["reason"]) == ("filtered", "no_identifier")
    assert [event["event_params"]["quantity"] for event in third["user"]["events"]] == [1, 2]
    assert sandbox.journal("insiderone") == []


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (1, "of each stream 1 record is shown, besides the first one filtered for each reason; --limit shows more"),
        (
            2,
            "of each stream 2 records are shown, besides the first one filtered for each reason; --limit shows more",
        ),
        (3, None),
    ],
)
def test_preview_respects_its_limit(command, limit, said):
    """Preview is readable as text and stops at its limit.

    The default form is for people; with `--limit 1` two stood there, and it was said that one "are shown".
    """
    people = [profile(number) for number in range(3)] + [profile(3, email=None)]
    lines = [schema("profiles"), *(record("profiles", person) for person in people)]

    _, told = command("preview", "--limit", str(limit), given="".join(json.dumps(line) + "\n" for line in lines))

    assert [f"profiles P{number}: sent" in told for number in range(3)] == [number < limit for number in range(3)]
    assert "profiles P3: filtered" in told
    assert '"name": "Name 0"' in told
    assert said is None or said in told
    assert ("--limit shows more" in told) == (said is not None)


@pytest.fixture
def shown(command, tmp_path):
    """What `preview --format json` shows of messages; nothing of it is kept."""

    def run(lines, *words, **settings):
        given = "".join(json.dumps(line) + "\n" for line in lines)
        code, told = command("preview", "--format", "json", *words, given=given, **settings)
        assert not (tmp_path / "data").exists()
        return code, [json.loads(line) for line in told.splitlines() if line.startswith("{")], told

    return run


def test_preview_matches_run(shown):
    """Preview does what a run would do. It knew neither stream maps nor SCHEMA, and its key was always `id`."""
    renamed = {"people": {"__source__": "profiles", "first_name": "'Mapped'"}, "profiles": None}
    kinds = {"people": "profile", "profiles": "profile"}

    code, mapped, _ = shown(
        [schema("profiles", key="email"), record("profiles", profile(1))], stream_maps=renamed, stream_kinds=kinds
    )
    _, invalid, _ = shown(
        [
            schema("profiles"),
            record("profiles", profile(1, first_name=5)),
            record("profiles", profile(2)),
        ],
        stream_maps={"profiles": {"__filter__": "id == 'P1'"}},
    )

    assert code == 0
    assert [(row["stream"], row["key"], row["user"]["attributes"]["name"]) for row in mapped] == [
        ("people", "person1@shop.example", "Mapped")
    ]
    assert [row["outcome"] for row in invalid] == ["rejected", "filtered"]
    assert "invalid_record (first_name)" in invalid[0]["reason"]
    assert invalid[1]["reason"] == "stream_map"


def test_preview_needs_schema(shown, load, command):
    """Preview of a record without schema ends as a run would.

    Unless an earlier run has left one: so single lines can be tried.
    """
    line = record("profiles", profile(1, first_name=5))
    code, rows, told = shown([line])
    load([schema("profiles")])

    _, later = command("preview", given=json.dumps(line) + "\n")

    assert (code, rows) == (1, [])
    assert "a RECORD came before its SCHEMA" in told
    assert "rejected, invalid_record (first_name)" in later


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        pytest.param(["--stream", "profiles"], ["P1", "P2"], id="stream"),
        pytest.param(["--metric", "Placed Order"], ["E1"], id="metric"),
        pytest.param(["--key", "E3"], ["E3"], id="key"),
        pytest.param(["--limit", "1"], ["E1", "E2", "P1"], id="limit"),
    ],
)
def test_preview_options_choose_records(shown, words, keys):
    """A preview shows the chosen records.

    The first records of an account are all page views; somebody wants to see an order, or one person.
    """
    events = [order(1), order(2, metric_name="Opened Email"), order(3, metric_name="Viewed Product")]
    lines = [schema("events"), *(record("events", event) for event in events), schema("profiles")]

    _, rows, told = shown([*lines, *(record("profiles", profile(n)) for n in (1, 2))], *words)

    assert [row["key"] for row in rows] == keys
    if words[0] == "--limit":
        assert "events: sent 2, filtered 1 (unmapped_metric)" in told
        assert "profiles: sent 2" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "Placed order"], "did you mean `Placed Order`?"),
        (["--stream", "event"], "did you mean `events`?"),
        (["--key", "nobody"], "none of the 1 records of the input is chosen"),
    ],
)
def test_preview_reports_empty_choice(shown, words, said):
    """A preview says that nothing was chosen. An empty screen would suggest that nothing is to be sent."""
    code, rows, told = shown([schema("events"), record("events", order(1))], *words)

    assert (code, rows) == (2, [])
    assert said in told


def test_preview_names_missing_sources(shown):
    """Preview names sources that no record has. The place to find a wrong letter is before the first run."""
    misspelt = [{"identifier_type": "email", "source_field": "emial"}]

    _, rows, told = shown([schema("profiles"), record("profiles", profile(1))], identifier_mappings=misspelt)

    assert [row["reason"] for row in rows] == ["no_identifier"]
    assert "`emial`: found in 0 of 1 record; did you mean `email`?" in told


def test_preview_survives_closed_output(target_command, config, tmp_path):
    """Preview reads to the end though nobody looks.

    `tap | preview | head` ended with errors of both, because each closed the pipe that the other wrote to.
    """
    path = tmp_path / "command.json"
    path.write_text(json.dumps(config))
    lines = [schema("profiles"), *(record("profiles", profile(number)) for number in range(2_000))]
    script = '"$0" preview --config "$1" --limit 2000 < "$2" | head -n 1; echo "${PIPESTATUS[0]}"'
    (tmp_path / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))

    done = subprocess.run(
        ["bash", "-c", script, target_command, path, tmp_path / "lines"], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "0"
    assert "ERROR" not in done.stderr
    assert "profiles: sent 2,000" in done.stderr


def test_replay_delivers_after_correction(command, load, sandbox):
    """Replay delivers rejects after the mapping was corrected. And once: the second replay finds nothing left to do."""
    number = "0532 123 45 67"
    people = [
        record("profiles", {"id": f"P{n}", "phone_number": number[:-1] + str(n), "first_name": "A"}) for n in (1, 2)
    ]
    before = load([schema("profiles"), *people])
    corrected = {"phone_number_settings": {"normalize": True, "default_country": "TR"}}

    code, told = command("replay", "--all", **corrected)
    _, again = command("replay", "--all", **corrected)

    assert before.counts("profiles") == {"read": 2, "rejected": 2}
    assert (code, "replayed 2 reject(s): delivered 2" in told) == (0, True), told
    assert "replayed 0 reject(s)" in again
    assert len(sandbox.users()) == 2
    assert [reject["replayed"]["outcome"] for reject in before.rejects] == ["delivered", "delivered"]


def test_concurrent_replays_wait(target_command, load, config, sandbox, tmp_path):
    """Of replays at the same time one sends and the others wait.

    Three at once sent none of 300 rejects: each took the others' stream for one that is being loaded.
    """
    people = [record("profiles", {"id": f"P{n}", "phone_number": f"0532 123 45 {n}"}) for n in range(10, 60)]
    people = [one | {"record": one["record"] | {"first_name": "A"}} for one in people]
    before = load([schema("profiles"), *people])
    corrected = {"phone_number_settings": {"normalize": True, "default_country": "TR"}}
    (tmp_path / "command.json").write_text(json.dumps(config | corrected))
    sandbox.latency("insiderone", 0.5)

    started = [
        forking.Popen(
            [target_command, "replay", "--all", "--config", tmp_path / "command.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=60) for process in started]

    assert [process.returncode for process in started] == [0, 0, 0]
    assert sorted(out.splitlines()[-1] for out, _ in ended) == [
        *["replayed 0 reject(s); all 50 chosen ones had been replayed before"] * 2,
        "replayed 50 reject(s): delivered 50",
    ]
    assert len(sandbox.users()) == 50
    assert len(sandbox.journal("insiderone")) == 1
    assert [reject["replayed"]["outcome"] for reject in before.rejects] == ["delivered"] * 50


def test_replay_on_full_disk(target_command, command, load, config, sandbox, tmp_path):
    """Rejects that are refused again stay open if there is no room for the new ones.

    They were marked as replayed, the new rejects were not kept, and no later replay took them.
    """
    people = [record("profiles", {"id": f"P{n}", "phone_number": f"0532 123 45 {n}"}) for n in range(10, 60)]
    people = [one | {"record": one["record"] | {"first_name": "A" * 5_000}} for one in people]
    load([schema("profiles"), *people])
    corrected = {"phone_number_settings": {"normalize": True, "default_country": "TR"}}
    (tmp_path / "command.json").write_text(json.dumps(config))

    limited = f"ulimit -f 400; {target_command} replay --all --config {tmp_path / 'command.json'}"
    full = forking.run(["bash", "-c", limited], capture_output=True, text=True, timeout=60)
    _, told = command("replay", "--all", **corrected)

    assert (full.returncode, "rejects cannot be kept" in full.stderr) == (1, True), full.stderr
    assert "replayed 50 reject(s): delivered 50" in told
    assert len(sandbox.users()) == 50


def test_replay_sends_rejected_line_only(command, load, sandbox):
    """Replay sends only the line that was rejected. The other lines of the order arrived long ago."""
    bought = order(1, items=2)
    del bought["event_properties"]["Items"][1]["ItemPrice"], bought["event_properties"]["$value"]
    load([schema("events"), record("events", bought)])

    _, told = command(
        "replay",
        "--code",
        "missing_event_parameter",
        fixed_event_parameters=[{"parameter": "unit_sale_price", "value": 1}],
    )

    assert "delivered 1" in told, told
    (user,) = sandbox.users()
    assert sorted(event["event_params"]["custom"]["line"] for event in user["events"]) == [1, 2]
    assert len(sandbox.journal("insiderone")[-1]["body"]["users"][0]["events"]) == 1


def test_replay_never_overwrites_newer_data(command, load, sandbox):
    """The person was corrected in Klaviyo and delivered since; the old reject is a duplicate."""
    bad = record("profiles", profile(1, first_name=1), "2026-06-01T10:00:00Z")
    rejected = load([schema("profiles"), bad])
    load([schema("profiles"), record("profiles", profile(1, first_name="Newer"), "2026-06-01T11:00:00Z")])
    (path,) = rejected.data_dir.glob("*/rejects.jsonl")
    path.write_text(path.read_text().replace('"first_name":1', '"first_name":"Older"'))

    _, told = command("replay", "--all")

    assert "duplicate 1" in told, told
    assert sandbox.users()[0]["attributes"]["name"] == "Newer"


def test_second_refusal_makes_new_reject(command, load):
    """What is refused again becomes a new reject. Its attempts add up, and the old one is not tried a third time."""
    ended = load([schema("profiles"), record("profiles", profile(1, first_name=1))])

    command("replay", "--key", "P1")
    command("replay", "--key", "P1")

    assert [reject["attempt"] for reject in ended.rejects] == [1, 2, 3]
    assert ["replayed" in reject for reject in ended.rejects] == [True, True, False]


def test_failing_map_costs_one_record(command, load, sandbox):
    """A failing stream map costs one record which replays through the mended map.

    A map that does not foresee one record must not end the run, and a replay goes through the maps, too.
    """
    people = [
        record("profiles", profile(1, properties={})),
        record("profiles", profile(2, properties={"tier": "gold"})),
    ]
    before = load(
        [schema("profiles"), *people, state({"n": 1})],
        stream_maps={"profiles": {"first_name": "properties['tier'].upper()"}},
    )

    _, told = command("replay", "--all", stream_maps={"profiles": {"first_name": "'Mended'"}})

    assert before.code == 0, before.logs
    assert before.counts("profiles") == {"read": 2, "delivered": 1, "rejected": 1}
    assert len(before.states) == 1
    assert [(reject["key"], reject["code"]) for reject in before.rejects] == [("P1", "stream_map_failed")]
    assert "delivered 1" in told, told
    assert sorted(user["attributes"]["name"] for user in sandbox.users()) == ["GOLD", "Mended"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--code", "invalid_emial"], "did you mean `invalid_email`?", id="code"),
        pytest.param(["--code", "no_such_thing"], "no reject has the code `no_such_thing`", id="no code"),
        pytest.param(["--stream", "profile"], "did you mean `profiles`?", id="stream"),
        pytest.param(["--key", "p1"], "no reject has the key `p1`; did you mean `P1`?", id="key"),
        pytest.param(["--key", "ada@shop.example"], "no reject has the key `(a name of 16 characters)`", id="address"),
    ],
)
def test_replay_refuses_impossible_choice(command, load, words, said):
    """Replay refuses a choice that nothing can meet.

    `replayed 0 reject(s)` and exit code 0 told somebody who mistyped that all was done.
    """
    load([schema("profiles"), record("profiles", profile(1, email="nonsense", phone_number="1"))])

    code, told = command("replay", *words)

    assert code == 2
    assert said in told


def test_replay_accepts_unused_code(command):
    """Replay of a known code that no reject has is no mistake.

    A nightly `replay --code too_large` may well find nothing.
    """
    code, told = command("replay", "--code", "too_large")

    assert (code, "replayed 0 reject(s)" in told) == (0, True)


def test_replay_delivers_unidentified(command, load, sandbox):
    """Replay brings who was filtered for want of an identifier.

    They stood nowhere: after the correction neither a replay nor the next run brought them.
    """
    wrong = [{"identifier_type": "email", "source_field": "emial"}]
    people = [record("profiles", profile(number)) for number in range(3)]
    orders = [record("events", order(number)) for number in range(2)]
    load([schema("profiles"), *people, schema("events"), *orders], identifier_mappings=wrong)

    _, too_early = command("replay", "--unidentified", identifier_mappings=wrong)
    code, told = command("replay", "--unidentified")
    _, by_code = command("replay", "--code", "no_identifier")

    assert "replayed 5 record(s) without identifier: filtered 5" in too_early
    assert (code, "replayed 5 record(s) without identifier: delivered 5" in told) == (0, True), told
    assert "replayed 0 reject(s)" in by_code
    assert sorted(len(user["events"]) for user in sandbox.users()) == [0, 1, 1]


def test_forget_reaches_the_unidentified(command, load):
    """They are kept as they came, so they hold addresses that no mapping named."""
    wrong = [{"identifier_type": "uuid", "source_field": "external_id"}]
    ended = load([schema("profiles"), record("profiles", profile(1))], identifier_mappings=wrong)

    command("forget", given="person1@shop.example\n")

    (path,) = ended.data_dir.glob("*/unidentified.jsonl")
    assert path.read_text() == ""


def test_replay_wants_a_choice(command):
    """Replaying everything by accident is not what somebody meant who typed `replay`."""
    code, told = command("replay")

    assert code == 2
    assert "--all" in told
    assert "--unidentified" in told


def test_mistyped_command_gets_suggestion(command):
    """A mistyped command is named with the one meant.

    It was an `unexpected extra argument` of the loader, which nobody had called.
    """
    code, told = command("chek")

    assert code == 2
    assert "no command `chek`; did you mean `check`?" in told


def test_preview_reports_broken_line(command):
    """A preview says that a line is not a Singer message. The reason was cut to its first word: `rejected 3 (a)`."""
    _, told = command("preview", given="not Singer\n" * 3)

    assert "(unreadable): rejected 3 (unreadable)" in told
    assert "the line is not a valid Singer message" in told


def test_forget_removes_person_everywhere(command, load, tmp_path):
    """Forget removes a person from everything kept.

    A deletion request covers rejects, ledger and dry runs; other people stay, also those with a similar address.
    """
    people = [("P1", "ann@shop.example", "+90 532 111 11 11"), ("P2", "joann@shop.example", None)]
    rejected = [record("profiles", profile(0, id=key, email=mail, first_name=1)) for key, mail, _ in people]
    delivered = [
        record("profiles", profile(0, id=key + "d", email=mail, phone_number=phone)) for key, mail, phone in people
    ]
    load([schema("profiles"), *rejected, *delivered], max_rejects=9)
    load([schema("profiles"), *delivered], dry_run=True)

    code, told = command("forget", given="Ann@shop.example\n")

    left = "".join(path.read_text() for path in (tmp_path / "data").rglob("*.jsonl"))
    assert code == 0
    assert "removed 1 reject(s), 1 profile(s) of the ledger, 1 dry run(s)" in told
    assert "Insider One itself is not changed" in told
    assert '"ann@shop.example"' not in left
    assert '"joann@shop.example"' in left


def test_forget_finds_number_spellings(command, load):
    """Forget finds a phone number in any spelling. People write the separators as they like."""
    load([schema("profiles"), record("profiles", profile(1, phone_number="+90 (532) 111-11-11", first_name=1))])

    _, told = command("forget", given="+905321111111\n")

    assert "removed 1 reject(s)" in told


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("+905321234567", 905321234567, id="JSON number"),
        pytest.param("+905321234567", "0090 532 123-45-67", id="two zeros"),
        pytest.param("0532 123 45 67", "+905321234567", id="national in the list"),
        pytest.param("+905321234567", "tel 0532 123 45 67 please", id="national, in a text"),
        pytest.param("+905321234567", "+90 (0)532 1234567", id="bracketed zero"),
        pytest.param("ann@shop.example", "ann\u200b@sh\u00adop.example", id="invisible characters within"),
        pytest.param(" ANN@shop.example ", "\u200bann@Shop.example\u00a0", id="blanks and capitals"),
        pytest.param("ann@shop.example", "https://x.example/?email=ann%40shop.example&a=1", id="in a link"),
        pytest.param("o'ann@shop.example", "<O'Ann@shop.example>", id="apostrophe"),
        pytest.param("ada@münchen.example", "ada@xn--mnchen-3ya.example", id="the domain in letters of the DNS"),
        pytest.param("ada@xn--mnchen-3ya.example", "Ada@MÜNCHEN.example", id="the domain in its own letters"),
        pytest.param("ada@stra\u00dfe.example", "ada@xn--strae-oqa.example", id="a sharp s"),
        pytest.param("ada@shop.example", "<b>ada&#64;shop.example</b>", id="escaped for HTML"),
        pytest.param("ada@münchen.example", "ada&amp;#x40;m&uuml;nchen.example", id="escaped twice"),
        pytest.param("ada@münchen.example", "ada%40xn--mnchen-3ya.example", id="in a link, in letters of the DNS"),
        pytest.param("+490301234567", "+49301234567", id="a trunk zero behind the country"),
    ],
)
def test_address_spellings_are_found(given, kept):
    """Addresses are found in any spelling.

    A reject holds what the shop wrote, and a person gives it as it stands in a letter.
    """
    addresses = Addresses(["nobody@shop.example", given], "TR")

    assert addresses.found_in(json.dumps({"record": {"properties": [kept]}}).encode()) == {2}
    assert addresses.found_in(f'{{"torn": "{kept}'.encode()) == {2}


@pytest.mark.parametrize("kept", ["joann@shop.example", "ann@shop.example.org", "+905321234568", 15321234567, "12"])
def test_other_people_are_not_found(kept):
    """Who only has a similar address stays."""
    addresses = Addresses(["ann@shop.example", "+905321234567"], "TR")

    assert addresses.found_in(json.dumps([kept]).encode()) == set()


def test_forget_reports_odd_lines(command, tmp_path):
    """Forget copes with odd lines and says what it did not find.

    A U+2028 in a dry run ended it, and the address stayed; of other accounts it said that nothing is kept.
    """
    folder = tmp_path / "data" / "klaviyo"
    folder.mkdir(parents=True)
    odd = '{"name":"a\u2028b\u0085c","email":"ann@shop.example"}\n{"torn":"ann@shop.ex'
    (tmp_path / "data" / "dry-run-1.jsonl").write_text(odd)
    (folder / "rejects.jsonl").write_text('{"torn":"Ann@shop.example\n{"key":"else"}\n')
    (folder / "unidentified.jsonl").write_text('{"record":"ann@shop.example"}\n')
    for other in ("klaviyo_us/rejects.jsonl", "empty/summary.txt"):
        (tmp_path / "data" / other).parent.mkdir()
        (tmp_path / "data" / other).touch()
    for name in ("rejects.new", "summary-1.json", "summary-1.json.7.new"):
        (folder / name).write_text('{"x":"ann@shop.example"}')

    code, told = command("forget", given="bob@shop.example\nann@shop.example\n\n+905321234567\n")

    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and b"ann@" in path.read_bytes().lower()]
    assert code == 0, told
    assert left == []
    assert (folder / "rejects.jsonl").read_text() == '{"key":"else"}\n'
    assert "integration klaviyo: no data was found for 2 of 3 address(es): line(s) 1, 4 of the list" in told
    assert "not searched: klaviyo_us, which keep" in told
    assert "bob@" not in told


def test_forget_drops_unsettled_events(command, tmp_path):
    """Forget takes the bytes of events of unknown outcome. They hold the identifiers as they were sent."""
    folder = tmp_path / "data" / "klaviyo"
    folder.mkdir(parents=True)
    ledger = Ledger(f"sqlite:///{folder}/ledger.sqlite", "insiderone")
    ledger.events.intend([(b"k" * 16, b"c" * 16, b'{"email":"ann@shop.example"}\n{"event_name":"purchase"}')])
    ledger.close()

    code, told = command("forget", given="ann@shop.example\n", ledger_days=0)

    assert code == 0, told
    assert "the bytes of 1 event(s)" in told
    assert not [path for path in folder.iterdir() if b"ann@shop" in path.read_bytes()]


def test_replay_skips_unusable_entries(command, load, sandbox):
    """A replay continues after entries that it cannot process.

    One reject of a stream that is no more, or a foreign line, ended it: none of the others went.
    """
    ended = load([schema("profiles"), record("profiles", profile(1, first_name=1))])
    (path,) = ended.data_dir.glob("*/rejects.jsonl")
    good = path.read_text().replace('"first_name":1', '"first_name":"Good"')
    stranger = good.replace('"stream":"profiles"', '"stream":"gone"').replace('"id":"', '"id":"x', 1)
    path.write_text('{"foreign": true}\nno JSON\n' + stranger + good)

    code, told = command("replay", "--all")
    _, again = command("replay", "--all")

    assert code == 0, told
    assert "delivered 1" in told
    assert "1 of streams that are not in these settings" in told
    assert "2 line(s) that are not a reject" in told
    assert "had been replayed before" in again
    assert len(sandbox.users()) == 1


def test_replay_keeps_renamed_streams(command, load, sandbox):
    """Replay keeps the renaming of a stream map.

    The reject stood under the new name, for which there is no map: its fields were not renamed any more.
    """
    maps = {"people": {"__alias__": "profiles", "first_name": "str(given)"}}
    fields = {"id": "P1", "email": "a@shop.example", "given": 5}
    first = [{**schema("profiles"), "stream": "people"}, record("people", fields)]
    first[0]["schema"] = {"properties": {"id": {"type": "string"}, "email": {}, "given": {}}}
    ended = load(first, stream_maps={"people": {"__alias__": "profiles", "first_name": "given.upper()"}})

    _, told = command("replay", "--all", stream_maps=maps)

    assert [reject["source_stream"] for reject in ended.rejects] == ["people"]
    assert "delivered 1" in told, told
    assert sandbox.users()[0]["attributes"]["name"] == "5"


def test_undated_reject_can_be_replayed(command, load):
    """A refused record without a read time is no duplicate of itself.

    Its reject was dated to the second, and what the ledger kept of it to the microsecond, and thus later.
    """
    bad = record("profiles", profile(1, email="a@x", phone_number="+905"))
    del bad["time_extracted"]
    ended = load([schema("profiles"), bad])
    (path,) = ended.data_dir.glob("*/rejects.jsonl")
    path.write_text(path.read_text().replace("a@x", "a@x.example"))

    _, told = command("replay", "--all")

    assert "delivered 1" in told, told


def test_help_names_the_commands(target_command):
    """Somebody who types `--help` finds them."""
    done = subprocess.run([target_command, "--help"], capture_output=True, text=True, check=True)

    assert all(name in done.stdout for name in ("check", "preview", "replay", "forget"))


def test_dry_run_replay_marks_nothing(command, load, sandbox):
    """A dry run replays what a run would and marks nothing.

    It looked for rejects in its own new file: `replayed 0`, or a key that no reject had.
    """
    load(
        [
            schema("profiles"),
            record("profiles", profile(1, email="nonsense", phone_number="1")),
            record("profiles", {"id": "P2", "first_name": "B"}),
        ]
    )

    for words in (["--all"], ["--key", "P1"], ["--all", "--unidentified"]):
        code, told = command("replay", *words, dry_run=True, identifier_mappings=BY_ID)
        assert (code, "delivered 1" in told or "delivered 2" in told) == (0, True), told
    assert sandbox.users() == []

    code, told = command("replay", "--all", "--unidentified", identifier_mappings=BY_ID)
    assert (code, "replayed 2 reject(s): delivered 2" in told) == (0, True), told


def test_unidentified_excludes_other_codes(command):
    """Replay refuses a code that the unidentified never have.

    `--unidentified --code invalid_email` replayed 0 and succeeded.
    """
    code, told = command("replay", "--unidentified", "--code", "invalid_email")

    assert code == 2
    assert "`no_identifier`" in told


def test_negative_preview_limit_is_refused(command):
    """A preview of less than nothing is refused.

    It showed nothing of each stream, and said that -5 records are shown.
    """
    code, told = command("preview", "--limit", "-5")

    assert code == 2
    assert "--limit" in told


@pytest.mark.parametrize(
    ("error", "path"),
    [
        (StopSendingError("Insider One", 401, "no key"), "api_key"),
        (StopSendingError("Insider One", 400, PARTNER_UNKNOWN), "partner_name"),
        (StopSendingError("Insider One", 413, "too large"), "api_url"),
        (RowRefusedError("of one@shop.example"), "api_url"),
        (GaveUpError("Insider One", 5, "status 502", 1), "api_url"),
    ],
    ids=["401", "unknown partner", "413", "400 in unknown words", "API down"],
)
def test_check_blames_right_setting(monkeypatch, config, error, path):
    """Check blames the setting that an answer speaks of.

    A 413 was blamed on the key; a 400 in words that are not documented ended `check` without any.

    Where the API is down, it told of a STATE, as if there had been a run.
    """

    def refuse(*_):
        raise error

    monkeypatch.setattr(HttpTransport, "send", refuse)

    (finding,) = credential_findings(TargetInsiderOne, parse_settings(config))

    assert finding.path == path
    assert "one@" not in str(finding)
    assert "STATE" not in str(finding)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param('"person1@shop.example"', id="in quotes"),
        pytest.param("Person1@shop.example,Ada", id="a table"),
        pytest.param("person1@shop.example;Ada;1234567", id="semicolons"),
        pytest.param("Ada <person1@shop.example>", id="a name"),
        pytest.param("mailto:person1@shop.example", id="a link"),
        pytest.param("ada@shop.example, person1@shop.example", id="one line"),
    ],
)
def test_exported_address_lists_are_read(listed):
    """Addresses are read as people export them. `forget` said that nothing is kept of them, and kept them."""
    assert Addresses([listed], None).found_in(json.dumps({"email": "person1@shop.example"}).encode()) == {1}


def test_forget_reads_any_line_end(command, load):
    """Forget reads a table with line ends of any system.

    With CR alone the whole list was one address that nobody has.
    """
    load([schema("profiles"), record("profiles", profile(1, first_name=1)), record("profiles", profile(2))])

    code, told = command("forget", given='email;name\r"person1@shop.example";Ada\r')

    assert (code, "removed 1 reject(s)" in told) == (0, True), told
    assert "line 1 is not an address" in told
    assert "nothing is kept" not in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("not-an-address\n", ["line 1 is not an address", "no address was given"], id="a word"),
        pytest.param("\n \n", ["no address was given"], id="an empty list"),
        pytest.param("first_name\nemail\n", ["line 1 is not an address", "line 2 is not an address"], id="a header"),
        pytest.param("crm-12345678\n12345\n", ["line 1 is not an address", "line 2 is not an address"], id="keys"),
    ],
)
def test_forget_reports_non_addresses(command, load, given, said):
    """`forget` reports lines that are not addresses.

    `email` alone, the head of a table, removed the reject of which it named the field; a word was "not kept".
    """
    ended = load([schema("profiles"), record("profiles", profile(1, first_name=1))])
    (path,) = ended.data_dir.glob("*/rejects.jsonl")
    before = path.read_bytes()

    code, told = command("forget", given=given)

    assert (code, path.read_bytes()) == (0, before)
    assert all(line in told for line in said), told
    assert "removed" not in told


def test_forget_finds_international_domains(command, load):
    """Forget finds in the ledger a domain in other letters. The ledger knows digests of the address as it was sent."""
    load([schema("profiles"), record("profiles", profile(1, email="ada@xn--mnchen-3ya.example"))])

    _, told = command("forget", given="Ada@münchen.example\n")

    assert "1 profile(s) of the ledger" in told


@pytest.mark.parametrize("other", ["neil@shop.example", "+491234567", "1234567"])
def test_address_table_names_nobody_else(other):
    """A table of addresses names nobody else.

    A number of a customer is no phone number, and a part of a local part no address.
    """
    listed = ["o'neil@shop.example,1234567", "a=neil@shop.example"]

    assert Addresses(listed, "DE").found_in(json.dumps({"x": other}).encode()) == set()


def test_forget_survives_damaged_ledger(command, load, tmp_path):
    """Forget cleans all else where the ledger is damaged. It broke off there, and left the rejects as they were."""
    load([schema("profiles"), record("profiles", profile(1, first_name=1))])
    for path in (tmp_path / "data").glob("*/ledger.sqlite*"):
        path.unlink()
    (tmp_path / "data" / "klaviyo" / "ledger.sqlite").write_bytes(b"garbage" * 1000)

    code, _ = command("forget", given="person1@shop.example")

    assert code == 2
    assert (tmp_path / "data" / "klaviyo" / "rejects.jsonl").read_bytes() == b""
