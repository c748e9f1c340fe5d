"""Simple resources: collections that are declared in a few lines, single ones, and what is related to them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller

WINTER, SUMMER, VIP = "winter", "summer", "vip"


@pytest.fixture
def tagged(sandbox: Sandbox) -> Sandbox:
    """Two groups, three tags, and a list with two of them."""
    sandbox.add_resources(
        "tag-group",
        [
            {"id": "G1", "attributes": {"name": "Season", "exclusive": True, "default": False}},
            {"id": "G2", "attributes": {"name": "Default", "exclusive": False, "default": True}},
        ],
    )
    groups = {"T1": "G1", "T2": "G1", "T3": "G2"}
    sandbox.add_resources(
        "tag",
        [
            {"id": tag, "attributes": {"name": name}, "related": {"tag-group": [groups[tag]]}}
            for tag, name in (("T1", WINTER), ("T2", SUMMER), ("T3", VIP))
        ],
    )
    sandbox.add_resources("list", [{"id": "L1", "attributes": {"name": "News"}, "related": {"tags": ["T3", "T1"]}}])
    sandbox.add_resources("list", [{"id": "L2", "attributes": {"name": "Club"}, "related": {"tags": ["T3"]}}])
    return sandbox


def add_segments(sandbox: Sandbox, number: int) -> None:
    """Add segments of three names, made on five days."""
    sandbox.add_resources(
        "segment",
        [
            {
                "id": f"S{place:02d}",
                "attributes": {
                    "name": f"Segment {place % 3}" if place % 4 else None,
                    "created": f"2026-01-0{place % 5 + 1}T00:00:00+00:00",
                    "is_active": place % 2 == 0,
                },
            }
            for place in range(number)
        ],
    )


@pytest.mark.parametrize("size", [1, 7, 10])
@pytest.mark.parametrize("sort", ["id", "-id", "name", "-name", "created", "-created"])
def test_every_order_is_complete(klaviyo: KlaviyoCaller, sandbox: Sandbox, size: int, sort: str) -> None:
    """Every order shows each row once. The id breaks ties, and rows without the sort key have a place too."""
    add_segments(sandbox, 23)

    rows = klaviyo.walk("/api/segments", page__size=size, sort=sort)

    assert len(rows) == len({row["id"] for row in rows}) == 23
    if sort.removeprefix("-") == "created":
        shown = [row["attributes"]["created"] for row in rows]
        assert shown == sorted(shown, reverse=sort.startswith("-"))


def test_cursor_survives_its_row(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Cursor survives the row that it names. It is a key, not a position: a row that moves away loses nobody."""
    add_segments(sandbox, 4)
    first = klaviyo.get("/api/segments", page__size=2, sort="created").json()

    sandbox.add_resources("segment", [{"id": "S01", "attributes": {"created": "2026-02-01T00:00:00+00:00"}}])

    rest = klaviyo.follow(first["links"]["next"]).json()
    assert [row["id"] for row in rest["data"]] == ["S02", "S03"]


@pytest.mark.parametrize(
    "cursor", ["", "garbage", base64.b64encode(b"next::id::[0,2,3]").decode()], ids=["empty", "garbage", "numbers"]
)
@pytest.mark.parametrize("sort", ["id", "name"])
def test_foreign_cursor_is_refused(klaviyo: KlaviyoCaller, sandbox: Sandbox, cursor: str, sort: str) -> None:
    add_segments(sandbox, 2)

    answer = klaviyo.get("/api/segments", page__cursor=cursor, sort=sort)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": "page[cursor]"}


@pytest.mark.parametrize(
    ("path", "text", "ids"),
    [
        ("/api/tags", 'equals(name,"vip")', ["T3"]),
        ("/api/tags", 'contains(name,"inte")', ["T1"]),
        ("/api/tags", 'starts-with(name,"s")', ["T2"]),
        ("/api/tags", 'ends-with(name,"er"),contains(name,"mm")', ["T2"]),
        ("/api/tag-groups", "equals(exclusive,true)", ["G1"]),
        ("/api/tag-groups", "equals(default,true)", ["G2"]),
        ("/api/lists", 'any(id,["L2","gone"])', ["L2"]),
        ("/api/lists", 'any(name,["News","Club"])', ["L1", "L2"]),
        ("/api/lists", "greater-than(updated,2026-01-01)", []),
    ],
)
@pytest.mark.usefixtures("tagged")
def test_filters_find_what_they_say(klaviyo: KlaviyoCaller, path: str, text: str, ids: list[str]) -> None:
    """A value that is null meets no condition."""
    assert [row["id"] for row in klaviyo.get(path, filter=text).json()["data"]] == ids


def test_times_are_compared_as_moments(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    add_segments(sandbox, 5)

    rows = klaviyo.get("/api/segments", filter="greater-than(created,2026-01-03T01:00:00+01:00)").json()["data"]

    assert [row["id"] for row in rows] == ["S03", "S04"]


def test_flags_are_unquoted(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    add_segments(sandbox, 3)

    assert klaviyo.get("/api/segments", filter='equals(is_active,"true")').status_code == 400
    rows = klaviyo.get("/api/segments", filter="any(is_active,[false])").json()["data"]
    assert [row["id"] for row in rows] == ["S01"]


def test_starred_is_accepted_and_ignored(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """As seen on the wire."""
    add_segments(sandbox, 3)

    assert len(klaviyo.get("/api/segments", filter="equals(is_starred,true)").json()["data"]) == 3


@pytest.mark.usefixtures("tagged")
def test_to_one_target_is_stated(klaviyo: KlaviyoCaller) -> None:
    """Target of a to-one relationship is always told.

    Those of a to-many relationship are told when they are included.
    """
    relationships = klaviyo.get("/api/tags/T1").json()["data"]["relationships"]

    assert relationships["tag-group"]["data"] == {"type": "tag-group", "id": "G1"}
    assert "data" not in relationships["lists"]


@pytest.mark.usefixtures("tagged")
def test_related_resources_included_once(klaviyo: KlaviyoCaller) -> None:
    """Page includes each related resource once. Both lists have the tag; its sparse fields hold for it alone."""
    page = klaviyo.get("/api/lists", include="tags,tags", fields__tag="id").json()

    assert [one["id"] for one in page["included"]] == ["T3", "T1"]
    assert all(one["attributes"] == {} for one in page["included"])
    assert [[one["id"] for one in row["relationships"]["tags"]["data"]] for row in page["data"]] == [
        ["T3", "T1"],
        ["T3"],
    ]


@pytest.mark.usefixtures("tagged")
def test_related_resources_by_parent(klaviyo: KlaviyoCaller) -> None:
    """Related resources are read by their parent. Whole, or as ids."""
    whole = klaviyo.get("/api/lists/L1/tags", fields__tag="name").json()["data"]
    ids = klaviyo.get("/api/lists/L1/relationships/tags").json()["data"]

    assert [row["attributes"]["name"] for row in whole] == [WINTER, VIP]
    assert ids == [{"type": "tag", "id": "T1"}, {"type": "tag", "id": "T3"}]


@pytest.mark.usefixtures("tagged")
def test_to_one_may_be_null(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """To-one relationship is one resource or null."""
    sandbox.add_resources("tag", [{"id": "T4", "attributes": {"name": "lost"}}])

    assert klaviyo.get("/api/tags/T1/tag-group").json()["data"]["attributes"]["name"] == "Season"
    assert klaviyo.get("/api/tags/T1/relationships/tag-group").json()["data"] == {"type": "tag-group", "id": "G1"}
    assert klaviyo.get("/api/tags/T4/tag-group").json()["data"] is None
    assert klaviyo.get("/api/tags/T4/relationships/tag-group").json()["data"] is None
    assert klaviyo.get("/api/tags/T4").json()["data"]["relationships"]["tag-group"]["data"] is None


@pytest.mark.parametrize("path", ["/api/lists/L9", "/api/lists/L9/tags", "/api/lists/L9/relationships/tags"])
def test_unknown_parent_is_a_404(klaviyo: KlaviyoCaller, path: str) -> None:
    answer = klaviyo.get(path)

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["detail"] == "A list with id L9 does not exist."


def test_profile_count_on_request(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Count of profiles comes on request. From a single list only."""
    sandbox.add_resources("list", [{"id": "L1", "attributes": {"name": "News", "profile_count": 7}}])

    counted = klaviyo.get("/api/lists/L1", additional_fields__list="profile_count").json()["data"]["attributes"]

    assert counted["profile_count"] == 7
    assert "profile_count" not in klaviyo.get("/api/lists/L1").json()["data"]["attributes"]
    assert klaviyo.get("/api/lists", additional_fields__list="profile_count").status_code == 400


def test_sparse_fields_reach_into_attributes(klaviyo: KlaviyoCaller) -> None:
    shown = klaviyo.get("/api/accounts", fields__account="contact_information.street_address.city").json()["data"][0]

    assert shown["attributes"] == {"contact_information": {"street_address": {"city": "Oslo"}}}
    for unknown in ("contact_information.phone", "timezone.name"):
        assert klaviyo.get("/api/accounts", fields__account=unknown).status_code == 400


def test_numbers_stay_as_given(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Numbers stay as they were given. Digit by digit, wherever they stand."""
    from decimal import Decimal

    sandbox.add_resources("segment", [{"id": "S1", "attributes": {"definition": {"value": Decimal("0.1000")}}}])

    assert '"definition":{"value": 0.1000}' in klaviyo.get("/api/segments/S1").text


@pytest.mark.parametrize(
    ("kind", "resource", "said"),
    [
        ("tag", {"id": "T1", "attributes": {"nam": "x"}}, "a tag has no nam"),
        ("tag", {"id": "T1", "related": {"list": ["L1"]}}, "a tag has no list"),
        ("tag", {"id": 'T"1'}, "an id may have"),
        ("tag", {"id": "T1", "related": {"lists": ["L 1"]}}, "an id may have"),
        ("metric", {"id": "M1"}, "type must be one of flow, list, segment, tag, tag-group"),
    ],
)
def test_mistaken_resource_is_refused(sandbox: Sandbox, kind: str, resource: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sandbox.add_resources(kind, [resource])
