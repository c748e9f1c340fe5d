"""The filter grammar and the operator table, held against the API's documented rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_insiderone_sandbox.klaviyo.errors import KlaviyoError
from klaviyo_insiderone_sandbox.klaviyo.filters import OPERATORS, FieldRule, Kind, parse_filter
from klaviyo_insiderone_sandbox.klaviyo.routes import ROUTES

if TYPE_CHECKING:
    from .conftest import KlaviyoCaller

SUPPRESSION = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"
BOUNDS = {"greater-than", "greater-or-equal", "less-than", "less-or-equal"}
MATCHES = {"contains", "ends-with", "equals", "starts-with"}

DOCUMENTED: dict[str, dict[str, set[str]]] = {
    "/api/profiles": {
        "id": {"equals", "any"},
        "email": {"equals", "any"},
        "phone_number": {"equals", "any"},
        "external_id": {"equals", "any"},
        "_kx": {"equals"},
        "created": {"greater-than", "less-than"},
        "updated": {"greater-than", "less-than"},
        f"{LIST_SUPPRESSIONS}.reason": {"equals"},
        f"{LIST_SUPPRESSIONS}.timestamp": BOUNDS,
        f"{LIST_SUPPRESSIONS}.list_id": {"equals"},
        f"{SUPPRESSION}.reason": {"equals"},
        f"{SUPPRESSION}.timestamp": BOUNDS,
    },
    "/api/events": {
        "metric_id": {"equals"},
        "profile_id": {"equals"},
        "profile": {"has"},
        "metric": {"has"},
        "datetime": BOUNDS,
        "timestamp": BOUNDS,
    },
    "/api/metrics": {"integration.name": {"equals"}, "integration.category": {"equals"}},
    "/api/lists": {
        "name": {"equals", "any"},
        "id": {"equals", "any"},
        "created": {"greater-than"},
        "updated": {"greater-than"},
    },
    "/api/segments": {
        "name": {"equals", "any"},
        "id": {"equals", "any"},
        "created": {"greater-than"},
        "updated": {"greater-than"},
        "is_active": {"equals", "any"},
        "is_starred": {"equals"},
    },
    "/api/tags": {"name": MATCHES},
    "/api/tag-groups": {"name": MATCHES, "exclusive": {"equals"}, "default": {"equals"}},
}
"""Endpoint -> field -> operators, as the vendor's OpenAPI document of 2026-07-15 lists them."""

TIMES = {"created", "updated", "datetime", "timestamp"}
FLAGS = {"is_active", "is_starred", "exclusive", "default"}


def expression(operator: str, field: str) -> str:
    if operator == "has":
        return f"has({field})"
    value = '"a"'
    if field.rsplit(".", 1)[-1] in TIMES:
        value = "2026-01-01T00:00:00Z"
    elif field in FLAGS:
        value = "true"
    if operator == "any":
        return f"any({field},[{value},{value}])"
    return f"{operator}({field},{value})"


@pytest.mark.parametrize(
    ("path", "field", "operator"),
    [(path, field, operator) for path, fields in DOCUMENTED.items() for field in fields for operator in OPERATORS],
)
def test_operators_match_the_documents(klaviyo: KlaviyoCaller, path: str, field: str, operator: str) -> None:
    """An operator is accepted exactly where documented. A sandbox that accepted more would hide a tap's mistakes."""
    answer = klaviyo.get(path, filter=expression(operator, field))

    if operator in DOCUMENTED[path][field]:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["source"] == {"parameter": "filter"}


def test_tables_have_equal_fields() -> None:
    """The tables know the same fields. A field that only one side knows is a mistake in the other."""
    known = {one.endpoint.path: set(one.endpoint.filters) for one in ROUTES if one.endpoint.filters}

    assert known == {path: set(rows) for path, rows in DOCUMENTED.items()}


def test_refusal_names_allowed_operators(klaviyo: KlaviyoCaller) -> None:
    """A refusal names the allowed operators. Clients show this text to people, in the API's words."""
    error = klaviyo.get("/api/profiles", filter="greater-or-equal(updated,2026-01-01)").json()["errors"][0]

    assert error["code"] == "invalid"
    assert error["title"] == "Invalid input."
    assert error["detail"] == (
        "'greater-or-equal' is not an allowed filter operator for updated.  "
        "Allowed operators are greater-than, less-than"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("equals(id,abc)", id="string without quotes"),
        pytest.param('equals(id,"abc)', id="quote left open"),
        pytest.param('equals(id,"abc"', id="parenthesis left open"),
        pytest.param('equals(id,"abc"))', id="one parenthesis too many"),
        pytest.param('equals(nothing,"abc")', id="unknown field"),
        pytest.param('resembles(id,"abc")', id="unknown operator"),
        pytest.param('or(equals(id,"a"),equals(id,"b"))', id="or"),
        pytest.param('greater-than(updated,"2026-01-01")', id="quoted time"),
        pytest.param("greater-than(updated,yesterday)", id="no time"),
        pytest.param("greater-than(updated,2026-13-01)", id="month 13"),
        pytest.param("greater-than(updated,2026-01-01T00:00:00 00:00)", id="plus sign lost in encoding"),
        pytest.param("any(id,[])", id="empty list"),
        pytest.param('any(id,"a")', id="any without a list"),
        pytest.param('equals(id,["a"])', id="list without any"),
        pytest.param("any(id,[" + ",".join(f'"{n}"' for n in range(101)) + "])", id="101 values"),
    ],
)
def test_a_broken_filter_is_refused(klaviyo: KlaviyoCaller, text: str) -> None:
    answer = klaviyo.get("/api/profiles", filter=text)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": "filter"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("greater-than(updated,2026-01-02T00:00:00Z)", id="Z"),
        pytest.param("greater-than(updated,2026-01-02T00:00:00+00:00)", id="offset zero"),
        pytest.param("greater-than(updated,2026-01-02T02:00:00+02:00)", id="other offset"),
        pytest.param("greater-than(updated,2026-01-02)", id="date only"),
        pytest.param("greater-than(updated,2026-01-02T00:00:00.000Z)", id="fraction"),
        pytest.param("and(greater-than(updated,2026-01-02),less-than(updated,2026-02-01))", id="and"),
        pytest.param(" greater-than( updated , 2026-01-02 ) ", id="blanks"),
    ],
)
def test_documented_time_formats_work(klaviyo: KlaviyoCaller, sandbox: Any, text: str) -> None:
    """Every documented way to write a time works."""
    sandbox.add_profiles(
        [{"id": f"P{day}", "attributes": {"updated": f"2026-01-0{day}T00:00:00Z"}} for day in (1, 2, 3)]
    )

    answer = klaviyo.get("/api/profiles", filter=text)

    assert [row["id"] for row in answer.json()["data"]] == ["P3"]


def test_bound_is_strict_by_second(klaviyo: KlaviyoCaller, sandbox: Any) -> None:
    """A bound is strict at the second shown.

    A profile stored half a second later shows the bound itself, and greater-than leaves it out.
    """
    sandbox.add_profiles([{"id": "P1", "attributes": {"updated": "2026-01-01T00:00:00.500000Z"}}])

    at_the_second = klaviyo.get("/api/profiles", filter="greater-than(updated,2026-01-01T00:00:00Z)").json()
    before_it = klaviyo.get("/api/profiles", filter="greater-than(updated,2025-12-31T23:59:59Z)").json()

    assert at_the_second["data"] == []
    assert before_it["data"][0]["attributes"]["updated"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("field", ["datetime", "timestamp"])
@pytest.mark.parametrize("operator", sorted(BOUNDS))
def test_future_bounds_are_refused(klaviyo: KlaviyoCaller, sandbox: Any, field: str, operator: str) -> None:
    """Event bounds in the future are refused. Connectors that requested events up to tomorrow got a 400."""
    sandbox.clock(frozen="2026-06-01T00:00:00Z")

    assert klaviyo.get("/api/events", filter=f"{operator}({field},2026-06-01T00:00:01Z)").status_code == 400
    assert klaviyo.get("/api/events", filter=f"{operator}({field},2026-06-01T00:00:00Z)").status_code == 200


def test_custom_metric_filter_is_refused(klaviyo: KlaviyoCaller, sandbox: Any) -> None:
    """A custom metric cannot be filtered by."""
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events(
        [{"metric": "Revenue", "integration": None, "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}]
    )
    metric_id = klaviyo.get("/api/metrics").json()["data"][0]["id"]

    assert klaviyo.get("/api/events", filter=f'equals(metric_id,"{metric_id}")').status_code == 400


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('equals(metric_id,"{m0}"),equals(profile_id,"P1")', ["E2"]),
        ('equals(profile_id,"P1")', ["E1", "E2", "E3"]),
        ('equals(profile_id,"P1"),greater-than(timestamp,1767225601)', ["E2", "E3"]),
        ("greater-or-equal(timestamp,1767225601),less-or-equal(timestamp,1767225602)", ["E1", "E2"]),
        ("greater-than(datetime,2026-01-01T00:00:00.5Z),less-than(datetime,2026-01-01T00:00:02.5Z)", ["E1", "E2"]),
        (
            "greater-or-equal(datetime,2026-01-01T00:00:00.5Z),less-or-equal(datetime,2026-01-01T00:00:02.5Z)",
            ["E1", "E2"],
        ),
        ("less-than(datetime,2026-01-01T00:00:01Z)", ["E0"]),
        ('equals(profile_id,"nobody")', []),
        ('equals(metric_id,"nothing")', []),
        ("has(metric),has(profile)", ["E0", "E1", "E2", "E3"]),
    ],
)
def test_event_conditions_combine(klaviyo: KlaviyoCaller, sandbox: Any, text: str, ids: list[str]) -> None:
    """Half seconds in bounds too: E0 to E3 happen in four seconds, by turns of metric, P0 once and P1 three times."""
    sandbox.add_profiles([{"id": name, "attributes": {}} for name in ("P0", "P1")])
    sandbox.add_events(
        [
            {"id": f"E{n}", "metric": f"M{n % 2}", "profile_id": f"P{min(n, 1)}", "datetime": f"2026-01-01T00:00:0{n}Z"}
            for n in range(4)
        ]
    )
    metric_ids = {f"m{row['attributes']['name'][-1]}": row["id"] for row in klaviyo.get("/api/metrics").json()["data"]}

    answer = klaviyo.get("/api/events", filter=text.format(**metric_ids))

    assert [row["id"] for row in answer.json()["data"]] == ids


def test_suppressions_are_filterable(klaviyo: KlaviyoCaller, sandbox: Any) -> None:
    """Global exclusions are read this way."""
    sandbox.add_profiles([{"id": "P1", "attributes": {}}, {"id": "P2", "attributes": {}}])
    sandbox.consent("P1", "email", "SUBSCRIBED", suppression="HARD_BOUNCE", at="2026-01-01T00:00:00Z")

    by_reason = klaviyo.get("/api/profiles", filter=f'equals({SUPPRESSION}.reason,"HARD_BOUNCE")').json()
    by_time = klaviyo.get(
        "/api/profiles",
        filter=f"greater-or-equal({SUPPRESSION}.timestamp,2026-01-01T00:00:00Z)",
        sort=f"-{SUPPRESSION}.timestamp",
    ).json()

    assert [row["id"] for row in by_reason["data"]] == ["P1"]
    assert [row["id"] for row in by_time["data"]] == ["P1"]


TEXT_RULE = {"email": FieldRule(Kind.TEXT, ("equals", "any"))}


@given(values=st.lists(st.text(), min_size=1, max_size=5), quote=st.sampled_from("\"'"))
def test_quoting_gives_back_any_string(values: list[str], quote: str) -> None:
    """Backslash and quotes in a value survive, in both kinds of quotes."""
    quoted = ",".join(quote + value.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote for value in values)

    (condition,) = parse_filter(f"any(email,[{quoted}])", TEXT_RULE, 0)

    assert condition.value == frozenset(values)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever comes is either read or refused with a 400."""
    try:
        status = 200 if parse_filter(text, TEXT_RULE, 0) else 500
    except KlaviyoError as error:
        status = error.status

    assert status in (200, 400)
