"""Pages that are whole and yet not quite as documented: none of them may cost a record, or hold up the stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

NOON = "2026-06-01T12:00:00Z"
PEOPLE = [f"P{number:03}" for number in range(250)]


@pytest.fixture
def account(sandbox):
    """Three pages of profiles, and three events of one metric."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(
        [
            {"id": key, "attributes": {"updated": f"2026-05-01T{number // 60:02}:{number % 60:02}:00Z"}}
            for number, key in enumerate(PEOPLE)
        ]
    )
    sandbox.add_events(
        [
            {
                "id": f"E{number}",
                "metric": "Placed Order",
                "profile_id": f"P00{number}",
                "datetime": f"2026-05-01T00:00:0{number}Z",
                "touch": False,
            }
            for number in range(3)
        ]
    )
    return sandbox


def page(sandbox: Sandbox, query: str) -> dict[str, Any]:
    """Ask the sandbox for a page, as the tap does."""
    headers = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": "2026-07-15"}
    with urlopen(Request(f"{sandbox.klaviyo_url}{query}", headers=headers)) as answer:  # noqa: S310 - our own sandbox
        document: dict[str, Any] = json.load(answer)
    return document


def answer_with(sandbox: Sandbox, path: str, document: dict[str, Any]) -> None:
    """Have the first page of a collection look like this."""
    sandbox.fault("klaviyo", kind="status", status=200, body=json.dumps(document), path=path, query="sort=")


@pytest.mark.req("BX-10", "C-26")
@pytest.mark.parametrize("shown", ["2026-06-01T11:00:00+00:00", "2026-06-01T12:00:00+00:00"])
@pytest.mark.parametrize("limit", [{}, {"max_pages": 100}], ids=["windows", "one chain"])
def test_late_timed_person_hides_nobody(tap, account, shown, limit):
    """Person who shows a newer time at the end of a page hides nobody.

    An index that lags behind the records sorts them by their old time; the page goes on all the same.

    Such a time lies behind the window. Taken for a sign that the window has been read, it would lose what follows.
    """
    first = page(
        account, "/api/profiles?page%5Bsize%5D=100&sort=updated&filter=less-than(updated,2026-06-01T11:59:55Z)"
    )
    touched = first["data"][-1]
    touched["attributes"]["updated"] = shown
    answer_with(account, "/api/profiles", first)
    account.latency("klaviyo", 0.01)
    outcome = tap(streams=["profiles"], end_date="2026-06-01T10:00:00Z", **limit)

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == [key for key in PEOPLE if key != touched["id"]]


@pytest.mark.req("C-26")
def test_unresolved_references_block_nobody(tap, account):
    """An event whose references cannot be resolved blocks nobody.

    Klaviyo says that a profile which is gone may leave a reference without a usable target.
    """
    events = page(account, "/api/events?include=metric,profile&sort=datetime")
    events["data"][0]["relationships"]["profile"]["data"] = {"type": "profile", "id": None}
    events["data"][0]["relationships"]["attributions"] = {"data": [{"type": "attribution", "id": None}]}
    events["data"][1]["relationships"]["metric"]["data"] = {"type": "metric"}
    answer_with(account, "/api/events", events)
    outcome = tap(streams=["events"], max_retry_seconds=1)
    nobodys, of_nothing, other = outcome.records("events")

    assert (nobodys["profile_id"], nobodys["profile"], nobodys["attributions"]) == (None, None, [])
    assert (of_nothing["metric_id"], of_nothing["metric_name"]) == (None, None)
    assert (other["profile_id"], other["metric_name"]) == ("P002", "Placed Order")


@pytest.mark.req("C-26")
@pytest.mark.parametrize(
    "odd", [{}, {"name": 5}, {"name": {}}, {"integration": "x"}, {"integration": {"name": []}}], ids=str
)
def test_nameless_metric_blocks_nobody(tap, account, odd):
    """A metric without a name blocks nobody.

    Its name is nullable in the OpenAPI document; events have none then, and settings can still mean it by its id. A
    name that is no text, or an integration that is no object, ended the stream in every run.
    """
    events = page(account, "/api/events?include=metric,profile&sort=datetime")
    metrics = page(account, "/api/metrics")
    for metric in (*metrics["data"], *(one for one in events["included"] if one["type"] == "metric")):
        metric["attributes"] |= {"name": None} | odd
    account.fault("klaviyo", kind="status", status=200, body=json.dumps(metrics), path="/api/metrics")
    answer_with(account, "/api/events", events)
    outcome = tap(streams=["events"], event_metrics=[metrics["data"][0]["id"]])

    assert outcome.code == 0
    assert [record["metric_name"] for record in outcome.records("events")] == [None] * 3


def test_consent_event_without_time(tap, account):
    """The person's change has no time then.

    It was an empty text, which is no time: the target rejected the record, and with it an opt-out.
    """
    events = page(account, "/api/events?include=metric,profile&sort=datetime")
    events["data"][0]["attributes"]["datetime"] = None
    answer_with(account, "/api/events", events)
    outcome = tap(streams=["subscription_changes"], subscription_metrics=["Placed Order"])

    changed_at = {record["id"]: record["changed_at"] for record in outcome.records("subscription_changes")}
    assert changed_at == {"P000": None, "P001": "2026-05-01T00:00:01Z", "P002": "2026-05-01T00:00:02Z"}


@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_id_attribute_keeps_record_id(tap, account, stream):
    """Attribute named id does not rename its record.

    The resource's id is the key; two records under one key would be one, further on.
    """
    asked = {
        "profiles": "/api/profiles?sort=updated&page[size]=100",
        "events": "/api/events?sort=datetime&include=metric,profile",
    }
    document = page(account, asked[stream].replace("[", "%5B").replace("]", "%5D"))
    for row in document["data"]:
        row["attributes"]["id"] = "somebody else"
    answer_with(account, f"/api/{stream}", document)
    outcome = tap(streams=[stream])

    assert sorted(outcome.ids(stream)) == (PEOPLE if stream == "profiles" else ["E0", "E1", "E2"])


ODD = {
    "attributes null": {"attributes": None},
    "attributes a list": {"attributes": []},
    "no attributes": {"attributes": ...},
    "numeric id": {"id": 17},
    "id null": {"id": None},
    "no id": {"id": ...},
    "an empty id": {"id": ""},
    "relationships null": {"relationships": None},
    "no relationships": {"relationships": ...},
    "another type": {"type": "list"},
    "a list": [],
    "null": None,
    "a string": "P",
    "no JSON": {"attributes": {"properties": {"size": float("nan")}}},
}
"""What a resource may look like that is none; ``...`` takes a member out."""


def made_odd(resource: dict[str, Any], change: Any) -> Any:
    """A resource with a change of `ODD`."""
    if not isinstance(change, dict):
        return change
    return {name: value for name, value in (resource | change).items() if value is not ...}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_odd_resource_costs_itself_alone(tap, account, stream, change):
    """The whole page was refused for one resource, again in every run, and with it all that followed it."""
    query = {
        "profiles": "/api/profiles?sort=updated&page%5Bsize%5D=100",
        "events": "/api/events?sort=datetime&include=metric,profile",
    }[stream]
    document = page(account, query)
    tolerable = stream == "profiles" and isinstance(change, dict) and "relationships" in change
    document["data"][1] = made_odd(document["data"][1], change)
    answer_with(account, f"/api/{stream}", document)

    outcome = tap(streams=[stream])

    everything = {"profiles": PEOPLE, "events": ["E0", "E1", "E2"]}[stream]
    assert outcome.code == 0
    assert sorted(outcome.ids(stream)) == [key for place, key in enumerate(everything) if place != 1 or tolerable]
    assert ('"unreadable":1' in outcome.log) is not tolerable
    assert f"stream {stream}: " in outcome.log or tolerable
    assert outcome.state["bookmarks"][stream]["replication_key_value"] == "2026-06-01T11:59:55Z"


def test_single_odd_resource_blocks_nothing(tap, account):
    """Odd resource that comes alone does not hold the stream.

    A quiet run reads one page of one record: if that one is odd, nothing of the page can be read, for ever.
    """
    document = page(account, "/api/events?sort=datetime&include=metric,profile")
    document["data"] = [document["data"][0] | {"attributes": None}]
    account.fault(
        "klaviyo", kind="status", status=200, body=json.dumps(document), path="/api/events", query="sort=", times=None
    )

    outcome = tap(streams=["events"], max_retry_seconds=30)

    assert (outcome.code, outcome.ids("events")) == (0, [])
    assert '"unreadable":1' in outcome.log


def test_unreadable_page_is_requested_again(tap, account):
    """A page without readable resources is requested again.

    Many resources that all cannot be read are a fault of the answer, which may pass.
    """
    document = page(account, "/api/profiles?sort=updated&page%5Bsize%5D=100")
    document["data"] = [one | {"attributes": None} for one in document["data"]]
    answer_with(account, "/api/profiles", document)

    outcome = tap(streams=["profiles"])

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == PEOPLE
    assert "unreadable" not in outcome.log


def test_odd_included_leaves_its_event(tap, account):
    """Odd included resource leaves its event.

    The event comes without the fields of its profile, as if the profile were gone; the others are whole.
    """
    document = page(account, "/api/events?sort=datetime&include=metric,profile")
    odd = next(one for one in document["included"] if one["type"] == "profile")
    odd["attributes"] = None
    answer_with(account, "/api/events", document)

    outcome = tap(streams=["events"])

    people = {record["profile_id"]: record["profile"] for record in outcome.records("events")}
    assert outcome.code == 0
    assert [key for key, fields in people.items() if fields is None] == [odd["id"]]
    assert len(people) == 3
