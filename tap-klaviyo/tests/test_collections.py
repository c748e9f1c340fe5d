"""Streams that are declared: those of the tap through its command line, other declarations within this process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from klaviyo_http.documents import Reference, Relationship
from klaviyo_http.endpoints import LIST_PROFILES, LISTS, PROFILES
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY
from tap_klaviyo.reading.collections import Collection, related_ids
from tap_klaviyo.streams.lists import Lists
from tap_klaviyo.tap import STREAMS, TapKlaviyo

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "joined_group_at": {"type": "string", "format": "date-time"}},
}


class Members(Collection):
    """Read parent by parent."""

    name = "list_members"
    endpoint = LIST_PROFILES
    parent = Lists
    primary_keys = ("list_id", "id")
    replication_key = "joined_group_at"
    selected_by_default = True
    schema: ClassVar[dict[str, Any]] = SCHEMA


class Halves(Collection):
    """Read in two chains."""

    name = "halves"
    endpoint = LISTS
    replication_key = "updated"
    selected_by_default = True
    variants = ({"name": "A"}, {"name": "B"})
    schema: ClassVar[dict[str, Any]] = SCHEMA


class People(Collection):
    """Read in windows."""

    name = "people"
    endpoint = PROFILES
    replication_key = "updated"
    selected_by_default = True
    schema: ClassVar[dict[str, Any]] = SCHEMA


@pytest.fixture
def declared(sandbox, capfd):
    """Run one declared stream; returns the exit code, the records and the last state."""

    def run(stream: type[Collection], state: dict[str, Any] | None = None, **settings: Any):
        class Tap(TapKlaviyo):
            def discover_streams(self) -> Sequence[Collection]:
                return [stream(self, lambda: self.account)]

        tap = Tap(config={"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url, **settings}, state=state)
        code = tap.run(tap.sync_all)
        messages = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        records = [message["record"] for message in messages if message["type"] == "RECORD"]
        return code, records, [message["value"] for message in messages if message["type"] == "STATE"][-1]

    return run


def lists(count: int) -> list[dict[str, Any]]:
    """Make up lists, one an hour."""
    return [
        {"id": f"L{number:02}", "name": f"List {number}", "updated": f"2026-05-01T{number:02}:00:00Z"}
        for number in range(count)
    ]


@pytest.mark.parametrize("stream", [one for one in STREAMS if issubclass(one, Collection)], ids=lambda one: one.name)
def test_declarations_fit_their_endpoints(stream):
    """Declaration is possible at its endpoint.

    The order is that of the replication key, so that the bookmark may follow it; what is included exists.
    """
    key = vars(stream).get("replication_key")

    assert key is None or key in stream.endpoint.sorts
    assert set(stream.include) <= set(stream.endpoint.includes)
    assert all(set(conditions) <= set(stream.endpoint.filters) for conditions in stream.variants)


def test_readme_stream_is_real():
    """README shows a stream as it is. Whoever adds one copies it from there."""
    (shown,) = re.findall(r"^```python\n(class .+?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    source = (ROOT / "tap_klaviyo" / "streams" / "lists.py").read_text()

    assert re.sub(r"  # .+", "", shown) in source
    assert len(source.splitlines()) - source.splitlines().index("class Lists(Collection):") <= 15


def test_collections_need_selection(tap, sandbox):
    """Collections are read only if they are selected.

    The three flows need none of them, and their keys may lack the scopes.
    """
    sandbox.seed(profiles=3, events=3)
    selected = {
        stream["tap_stream_id"]
        for stream in json.loads(tap("--discover").output)["streams"]
        for entry in stream["metadata"]
        if not entry["breadcrumb"] and entry["metadata"]["selected"]
    }

    assert selected == {"profiles", "events", "subscription_changes"}
    assert not {"/api/lists"} & {entry["path"] for entry in sandbox.journal()}


def test_lists_are_read_incrementally(tap, sandbox, queries):
    """Lists are read page by page and later the changed ones alone.

    Flat, in the order of their change, tags and flows as ids; one chain, since the endpoint has no upper bound.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_lists(lists(24))
    first = tap(streams=["lists"])
    sandbox.clock(frozen="2026-06-02T12:00:00Z")
    sandbox.add_lists([{"id": "L07", "name": "Renamed", "updated": "2026-06-02T10:00:00Z"}])
    second = tap(streams=["lists"], state=first.state)

    assert first.ids("lists") == [one["id"] for one in lists(24)]
    assert first.records("lists")[0] == {
        "id": "L00",
        "name": "List 0",
        "created": "2026-06-01T12:00:00Z",
        "updated": "2026-05-01T00:00:00Z",
        "opt_in_process": "double_opt_in",
        "tag_ids": [],
        "flow_trigger_ids": [],
    }
    assert first.summary("lists")["pages"] == 3
    assert (second.ids("lists"), second.summary("lists")["outcome"]) == (["L07"], "complete")
    assert second.bookmark("lists") == "2026-06-02T11:59:55Z"
    (resumed,) = queries("/api/lists")
    assert "greater-than(updated,2026-06-01T11:58:54Z)" in resumed
    assert "sort=updated" in resumed


def test_changed_list_comes_next_run(tap, sandbox):
    """List changed while lists are read comes with the next run.

    What is newer than the run's start is left to it, as in every stream.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_lists([*lists(2), {"id": "L99", "name": "Late", "updated": "2026-06-01T11:59:58Z"}])
    first = tap(streams=["lists"])
    sandbox.clock(frozen="2026-06-01T13:00:00Z")
    second = tap(streams=["lists"], state=first.state)

    assert (first.ids("lists"), second.ids("lists")) == (["L00", "L01"], ["L99"])


def test_metrics_are_always_read_whole(tap, sandbox):
    """Metrics are read whole in every run.

    The API neither filters nor sorts them by time, so that there is no bookmark.
    """
    sandbox.seed(profiles=20, events=50)
    runs = [tap(streams=["metrics"]) for _ in range(2)]

    known = {event["metric_name"] for event in sandbox.klaviyo_events()}
    for run in runs:
        assert run.code == 0
        assert {record["name"] for record in run.records("metrics")} >= known
        assert "reading everything" not in run.log
    assert runs[0].records("metrics") == runs[1].records("metrics")
    assert runs[0].records("metrics")[0]["flow_trigger_ids"] == []


def test_deselected_relationship_is_not_requested(tap, sandbox, catalog):
    """A deselected relationship is not requested. It may need another scope."""
    sandbox.add_lists(lists(1))
    chosen = catalog(["lists"])
    (stream,) = (one for one in chosen["streams"] if one["tap_stream_id"] == "lists")
    for entry in stream["metadata"]:
        if entry["breadcrumb"] == ["properties", "tag_ids"]:
            entry["metadata"]["selected"] = False
    outcome = tap(catalog=chosen)

    assert "tag_ids" not in outcome.records("lists")[0]
    asked = [entry["query"] for entry in sandbox.journal() if "include" in entry["query"]]
    assert all("include=flow-triggers" in query for query in asked)
    assert asked


def test_variants_are_merged_by_time(declared, sandbox):
    """Variants are merged in the order of time.

    One chain each; a bookmark that followed one of them would pass over the other.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_lists([one | {"name": "AB"[number % 2]} for number, one in enumerate(lists(22))])
    code, records, state = declared(Halves)

    assert (code, [record["id"] for record in records]) == (0, [one["id"] for one in lists(22)])
    assert state["bookmarks"]["halves"]["replication_key_value"] == "2026-06-01T11:59:55Z"
    assert sum("equals(name" in entry["query"] for entry in sandbox.journal() if "cursor" not in entry["query"]) == 2


def test_bounded_endpoint_uses_windows(declared, sandbox, profiles):
    """Endpoint with both bounds is read in windows.

    So that latency does not hold it up; the windows are told by their bounds.
    """
    sandbox.quotas(None)
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    people = profiles(1_400)
    for minute, one in enumerate(people):
        one["attributes"]["updated"] = f"2026-05-01T{minute // 60:02}:{minute % 60:02}:00Z"
    sandbox.add_profiles(people)
    sandbox.latency("klaviyo", 0.05)
    code, records, _ = declared(People)

    assert (code, [record["id"] for record in records]) == (0, [one["id"] for one in people])
    starts = [entry["query"] for entry in sandbox.journal() if "less-than" in entry["query"]]
    assert len([query for query in starts if "cursor" not in query]) > 1


def served(sandbox, path: str, rows: Sequence[tuple[str, str]]) -> None:
    """Have the sandbox answer with members of a list, which it does not keep."""
    data = [{"type": "profile", "id": key, "attributes": {"joined_group_at": time}} for key, time in rows]
    page = {"data": data, "links": {"next": None}}
    sandbox.fault("klaviyo", kind="status", status=200, body=json.dumps(page), path=path, times=None)


def test_each_parent_has_a_bookmark(declared, sandbox):
    """Each parent has its own bookmark.

    A list whose members could not be found at first is read from its beginning when they are.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_lists(lists(2))
    members = [("P1", "2026-05-01 08:00:00+00:00"), ("P2", "2026-05-02T08:00:00+00:00")]
    served(sandbox, "/api/lists/L00/profiles", members)
    _, first, state = declared(Members)  # the sandbox knows no members of L01 (404)
    sandbox.clock(frozen="2026-06-03T12:00:00Z")
    sandbox.clear_journal()
    served(sandbox, "/api/lists/L01/profiles", [("P1", "2026-04-01T08:00:00+00:00")])
    code, second, later = declared(Members, state)

    assert first == [
        {"id": "P1", "joined_group_at": "2026-05-01T08:00:00Z", "list_id": "L00"},
        {"id": "P2", "joined_group_at": "2026-05-02T08:00:00Z", "list_id": "L00"},
    ]
    assert (code, second) == (0, [{"id": "P1", "joined_group_at": "2026-04-01T08:00:00Z", "list_id": "L01"}])
    partitions = later["bookmarks"]["list_members"]["partitions"]
    assert [part["context"] for part in partitions] == [{"list_id": "L00"}, {"list_id": "L01"}]
    assert {part["replication_key_value"] for part in partitions} == {"2026-06-03T11:59:55Z"}
    asked = {entry["path"]: entry["query"] for entry in sandbox.journal() if "joined_group_at" in entry["query"]}
    assert "greater-or-equal(joined_group_at,2026-06-01T11:58:55Z)" in asked["/api/lists/L00/profiles"]
    assert "greater-or-equal" not in asked["/api/lists/L01/profiles"]


def test_page_limit_counts_all_parents(declared, sandbox):
    """Page limit counts the pages of all parents.

    It is a limit of the run; the next one goes on with the parents that were left out.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_lists(lists(2))
    for key in ("L00", "L01"):
        served(sandbox, f"/api/lists/{key}/profiles", [(f"P{key}", "2026-05-01T08:00:00+00:00")])
    _, first, state = declared(Members, max_pages=1)
    _, second, _ = declared(Members, state, max_pages=1)

    assert [record["list_id"] for record in (*first, *second)] == ["L00", "L01"]


@pytest.mark.parametrize(
    ("relation", "data", "record"),
    [
        ("tags", msgspec.UNSET, {}),
        ("campaign", None, {"campaign_id": None}),
        ("flow-message", Reference("F1"), {"flow_message_id": "F1"}),
        ("flow-triggers", (Reference("F1"), Reference(None), Reference("F2")), {"flow_trigger_ids": ["F1", "F2"]}),
        ("catalog-categories", (), {"catalog_category_ids": []}),
    ],
    ids=["links alone", "nothing", "one", "several", "none of several"],
)
def test_relationships_become_ids(relation, data, record):
    """Named after the relation, in snake case."""
    assert related_ids({relation: Relationship(data)}) == record
