"""A run that delivers nothing is no success: what it says, what it keeps, and when it may pass all the same."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from singer_delivery.exit_codes import ending
from singer_delivery.run import UnbalancedError
from singer_messages import order, profile, record, schema, state
from target_insiderone.mapping.sightings import Sightings
from target_insiderone.settings.findings import parse_settings
from target_insiderone.target import TargetInsiderOne

BY_EMAIL = [{"identifier_type": "email", "source_field": "email"}]
MISSPELT = [{"identifier_type": "email", "source_field": "emial"}]


def people(count, **fields):
    """A stream of profiles with a STATE after every tenth."""
    messages = [schema("profiles")]
    for number in range(count):
        messages.append(record("profiles", profile(number, **fields)))
        if number % 10 == 9:
            messages.append(state({"n": number}))
    return [*messages, state({"n": count})]


def test_misspelt_identifier_holds_state(load):
    """A wrong letter in an identifier fails the run and holds the state.

    Everybody was filtered, the exit code was 0 and the bookmark moved: the people were lost for good.
    """
    ended = load(people(500), identifier_mappings=MISSPELT)

    assert ended.code == 3
    assert ended.states == []
    assert ended.counts("profiles") == {"read": 500, "filtered": 500}
    assert "identifier_mappings[0].source_field `emial` is not a field of the SCHEMA; did you mean `email`?" in (
        ended.logs
    )
    assert "`emial`: found in 0 of 500 records; did you mean `email`?" in ended.logs
    assert "of 500 records nothing was delivered (no_identifier 500)" in ended.logs
    assert "person1@" not in ended.logs
    assert load(people(500)).states[-1] == {"bookmarks": {"n": 500}}


def test_setting_turns_failure_into_warning(load):
    """Whoever wants it otherwise gets a warning. A shop may know that hours come in which nobody can be identified."""
    ended = load(people(20), identifier_mappings=MISSPELT, on_nothing_delivered="warn")

    assert (ended.code, ended.states[-1]) == (0, {"bookmarks": {"n": 20}})
    assert "nothing was delivered (no_identifier 20)" in ended.logs


@pytest.mark.parametrize(
    ("stream", "row", "said"),
    [
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": "frist_name", "attribute": "name"}]},
            "attribute_mappings[0].source_field `frist_name` is not a field of the SCHEMA; did you mean `first_name`?",
            id="field of the SCHEMA",
        ),
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": "First Name", "attribute": "name"}]},
            "`First Name`: found in 0 of 30 records; did you mean `first_name`?",
            id="case of a field",
        ),
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": "teir", "attribute": "tier"}]},
            "attribute_mappings[0].source_field `teir`: found in 0 of 30 records; did you mean `tier`?",
            id="property",
        ),
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": "properties.teir", "attribute": "tier"}]},
            "`properties.teir`: found in 0 of 30 records; did you mean `properties.tier`?",
            id="property with its path",
        ),
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": "size.shoo", "attribute": "shoe"}]},
            "`size.shoo`: found in 0 of 30 records; did you mean `size.shoe`?",
            id="path",
        ),
        pytest.param(
            "profiles",
            {"attribute_mappings": [{"source_field": ["first_name", "Loyalty Teir"], "attribute": "name"}]},
            "`Loyalty Teir`: found in 0 of 30 records; did you mean `Loyalty Tier`?",
            id="one of several sources",
        ),
        pytest.param(
            "events",
            {"event_mappings": [{"metric_name": "Placed Order", "event_type": "seen", "for_each": "items"}]},
            "event_mappings[0].for_each `items`: found in 0 of 30 records; did you mean `Items`?",
            id="list of items",
        ),
        pytest.param(
            "events",
            {
                "event_mappings": [
                    {
                        "metric_name": "Placed Order",
                        "event_type": "seen",
                        "for_each": "Items",
                        "parameter_mappings": [{"source_field": "Quantitiy", "parameter": "quantity"}],
                    }
                ]
            },
            "event_mappings[0].parameter_mappings[0].source_field `Quantitiy`: found in 0 of 30 records; did you mean "
            "`Quantity`?",
            id="field of an item",
        ),
        pytest.param(
            "events",
            {"event_parameter_mappings": [{"source_field": "$vlaue", "parameter": "order_value"}]},
            "event_parameter_mappings[0].source_field `$vlaue`: found in 0 of 30 records; did you mean `$value`?",
            id="parameter of all events",
        ),
    ],
)
def test_misspelt_source_warns(load, stream, row, said):
    """A wrong letter in another source is said.

    The run goes on, since the people arrive; but somebody waits for that attribute in vain.
    """
    inside = {"tier": "gold", "Loyalty Tier": 1, "size": {"shoe": 42}, "ada@shop.example": 1}
    rows = [profile(n, properties=inside) if stream == "profiles" else order(n, items=2) for n in range(30)]

    settings = {"fixed_attributes": [{"attribute": "data_source", "value": "klaviyo"}], **row}
    ended = load([schema(stream), *(record(stream, fields) for fields in rows)], **settings)

    assert ended.code == 0, ended.logs
    assert [line for line in ended.logs.splitlines() if said in line and "WARNING" in line] != []


def test_correct_names_never_warn(load):
    """Names that are as they should be are no warning.

    The log of a healthy shop stays quiet.

    One of several spellings is met; a field is declared and never there; nobody has a property; a name looks like an
    address.
    """
    rows = [
        {"source_field": ["Tier", "tier", "$tier"], "attribute": "tier"},
        {"source_field": "updated", "attribute": "klaviyo_updated"},
        {"source_field": "Never There", "attribute": "never_there"},
        {"source_field": "address1", "attribute": "street"},
        {"source_field": "bob@shop.example", "attribute": "odd"},
        {"source_field": "first_name", "attribute": "name"},
    ]
    inside = {"tier": "gold", "address2": "x", "rob@shop.example": 1}

    ended = load(
        [schema("profiles"), *(record("profiles", profile(n, properties=inside)) for n in range(9))],
        attribute_mappings=rows,
    )

    assert ended.code == 0
    assert [line for line in ended.logs.splitlines() if "did you mean" in line] == []
    assert "rob@shop" not in ended.logs
    assert "bob@shop" not in ended.logs


def test_attributeless_profiles_fail_run(load):
    """Profiles without any mapped attribute fail the run.

    With `frist_name` as the only row, everybody is filtered as `no_attributes`.
    """
    ended = load(people(12), attribute_mappings=[{"source_field": "frist_name", "attribute": "name"}])

    assert (ended.code, ended.states) == (3, [])
    assert "no_attributes 12" in ended.logs


def test_misspelt_metric_fails_run(load):
    """A misspelt metric fails the run.

    Its events are unmapped, which looks like a wish; but the mapped metric was never met, and this one nearly is.
    """
    orders = [record("events", order(number, metric_name="Placed Order")) for number in range(5)]
    mapping = [{"metric_name": "Plcaed Order", "event_type": "bought"}]

    ended = load([schema("events"), *orders, state({"n": 5})], event_mappings=mapping)

    assert (ended.code, ended.states) == (3, [])
    assert "event_mappings[0].metric_name `Plcaed Order`: found in 0 of 5 records; did you mean `Placed Order`?" in (
        ended.logs
    )


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([record("events", order(1, metric_name="Opened Email"))], id="unmapped metric"),
        pytest.param([record("events", order(1, datetime="2001-01-01T00:00:00Z"))], id="retention"),
        pytest.param([], id="no record"),
    ],
)
def test_intended_filters_pass(load, messages):
    """Records that the settings intentionally leave out pass. An hour with only unmapped metrics is a good hour."""
    ended = load([schema("events"), *messages, state({"n": 1})], event_retention="skip")

    assert (ended.code, ended.states) == (0, [{"bookmarks": {"n": 1}}])


@pytest.mark.parametrize("count", [1, 92])
def test_fully_rejected_run_fails(load, count):
    """A run in which everything is rejected always fails.

    `max_rejects: 10%` counts from 100 rows on, so 92 of 92 passed.
    """
    ended = load(people(count, email="nonsense"), identifier_mappings=BY_EMAIL)

    assert (ended.code, ended.states) == (3, [])
    assert ended.counts("profiles") == {"read": count, "rejected": count}
    assert len(ended.rejects) == count


def test_first_delivery_releases_states(load):
    """States pass once something was delivered.

    The first people have no address; as soon as one arrives, the mapping is right, and the STATE is not held.
    """
    nobody = [record("profiles", {"id": f"N{number}", "email": None}) for number in range(3)]
    messages = [schema("profiles"), *nobody, state({"n": 1}), record("profiles", profile(1)), state({"n": 2})]

    ended = load(messages, identifier_mappings=BY_EMAIL)

    assert ended.code == 0
    assert ended.states[-1] == {"bookmarks": {"n": 2}}


def test_single_odd_person_warns(load):
    """One odd person in a quiet hour is a warning.

    The same settings delivered before; and the first of them may be anybody.
    """
    phone_only = [schema("profiles"), record("profiles", profile(9, email=None)), state({"n": 9})]
    first = load(phone_only, identifier_mappings=BY_EMAIL)
    load(people(3), identifier_mappings=BY_EMAIL)

    again = load(phone_only, identifier_mappings=BY_EMAIL)
    many = load(people(100, email=None), identifier_mappings=BY_EMAIL)
    changed = load(phone_only, identifier_mappings=MISSPELT)

    assert (first.code, first.states) == (3, [])
    assert (again.code, again.states) == (0, [{"bookmarks": {"n": 9}}])
    assert "nothing was delivered (no_identifier 1)" in again.logs
    assert (many.code, changed.code) == (3, 3)


def test_repeated_reject_only_warns(load):
    """A reject that is read again in a quiet hour is a warning.

    The first time it fails the run; it is kept by then, and must not hold the STATE for ever.
    """
    load(people(3), identifier_mappings=BY_EMAIL)
    bad = [schema("profiles"), record("profiles", profile(7, email="nonsense")), state({"n": 7})]

    first = load(bad, identifier_mappings=BY_EMAIL)
    again = load(bad, identifier_mappings=BY_EMAIL)
    another = load([*bad, record("profiles", profile(8, email="nonsense"))], identifier_mappings=BY_EMAIL)

    assert (first.code, first.states) == (3, [])
    assert (again.code, again.states) == (0, [{"bookmarks": {"n": 7}}])
    assert another.code == 3


def test_streams_are_judged_separately(load):
    """One stream that delivers does not hide another that does not. The pipe by hand moves all streams at once."""
    rows = [record("events", order(1)), record("profiles", {"id": "P9", "email": "nonsense"})]

    ended = load([schema("events"), schema("profiles"), *rows, state({"n": 1})])

    assert (ended.code, ended.states) == (3, [])
    assert "stream profiles: of 1 record nothing was delivered" in ended.logs


def test_broken_lines_alone_fail(load):
    """Broken lines alone are no success. The tap wrote something else than Singer messages."""
    assert load(["{nonsense", state({"n": 1})]).code == 3


def test_suddenly_empty_stream_warns_once(load, tmp_path):
    """A stream that always had records and has none says so once.

    A wrong selection, or an emptied account, looks like a quiet hour; the first line of defence is the tap's.
    """
    past = tmp_path / "data" / "klaviyo"
    past.mkdir(parents=True, mode=0o700)
    for run in range(10):
        figures = {"streams": {"profiles": {"read": run + 1, "delivered": 1}}}
        (past / f"summary-20260101T0000{run:02}Z-x.json").write_text(json.dumps(figures))

    other, empty, again = load([schema("events")]), load([schema("profiles")]), load([schema("profiles")])

    words = "stream profiles: the input has no record, though each of the last 10 runs had some"
    assert [words in ended.logs for ended in (other, empty, again)] == [False, True, False]
    assert empty.code == 0
    assert empty.summary["streams"]["profiles"]["read"] == 0


def test_streamless_input_warns(load):
    """An input without any stream says so. `select: [profile.*]` selects nothing, and was green and silent."""
    assert (
        "the input has no stream: is one selected in the tap (`select`, or its catalog), or did the tap fail?"
        in load([]).logs
    )


def test_unbalanced_account_fails_run(config, capsys):
    """An account that does not add up fails the run.

    A record that vanishes between reading and settling is a bug of ours, which must not pass as success.

    Without the comparison at the end of the run the summary would show it to nobody.
    """
    target = TargetInsiderOne(config=config)
    lines = [schema("profiles"), record("profiles", profile(1)), state({"n": 1})]

    def feed():
        target.process_lines(StringIO("".join(json.dumps(line) + "\n" for line in lines)))
        target.run.tally.read["profiles"] += 1  # one more was read than anybody accounts for

    with pytest.raises(UnbalancedError, match="the counts of profiles do not add up") as ended:
        target.work(feed)

    assert ending(ended.value)[0] == 1
    (summary,) = target.run.data_dir.summaries()
    assert summary["unbalanced"] == ["profiles"]
    assert (summary["streams"]["profiles"]["read"], summary["streams"]["profiles"]["delivered"]) == (2, 1)
    assert "person1@" not in capsys.readouterr().err


def test_filtered_people_are_kept_once(load):
    """Filtered people are kept once and without a word in the log.

    A record that is read again unchanged is not written again; the file is private, like the rejects.
    """
    first = load(people(3, email=None), identifier_mappings=BY_EMAIL)
    load(people(4, email=None), identifier_mappings=BY_EMAIL)

    (path,) = first.data_dir.glob("*/unidentified.jsonl")
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(entry["key"], entry["code"]) for entry in kept] == [(f"P{n}", "no_identifier") for n in range(4)]
    assert path.stat().st_mode & 0o777 == 0o600


def sightings_of(metric_name: str, *met: str) -> Sightings:
    """What is seen of a run whose mapping names one metric, and whose events are of those that were met."""
    settings = {"partner_name": "shop", "api_key": "key", "identifier_mappings": BY_EMAIL}
    settings["event_mappings"] = [{"metric_name": metric_name, "event_type": "bought"}]
    sightings = Sightings(parse_settings(settings))
    look = sightings.open("events", "event", schema("events")["schema"])
    for metric in met:
        look({"metric_name": metric})
    return sightings


def test_reordered_metric_is_named():
    """A metric of the same words is named.

    A renamed metric was green and silent: two words that changed places are many edits.
    """
    sightings = sightings_of("Placed Order", "Order Placed", "Order Placed")

    (missing,) = sightings.missing()["events"]
    assert str(missing).endswith("`Placed Order`: found in 0 of 2 records; did you mean `Order Placed`?")
    assert (sightings.none_met(), sightings.slipped()) == ({}, {})


def test_unmapped_stream_warns():
    """A stream without any mapped metric is said. All of it was filtered, and nothing told of it."""
    told = sightings_of("Placed Order", "Bought", "Bought", "ada@example.com").none_met()

    assert told == {
        "events": "none of its 3 record(s) has a metric that event_mappings names; there are: `Bought`, "
        "`(a name of 15 characters)`"
    }
    assert sightings_of("Placed Order", "Placed Order", "Bought").none_met() == {}


@pytest.mark.parametrize("source", ["properties.B2", "properties.s", "properties[0]", "subscriptions.x"])
def test_nested_name_is_no_misspelling(source):
    """What an open object holds is no slip of its name.

    A right mapping earned a warning: two letters more than `properties`, and declared nowhere.
    """
    settings = {"partner_name": "shop", "api_key": "key", "identifier_mappings": BY_EMAIL}
    settings["attribute_mappings"] = [{"source_field": source, "attribute": "custom.size"}]

    assert Sightings(parse_settings(settings)).slips("profile", schema("profiles")["schema"]) == []
