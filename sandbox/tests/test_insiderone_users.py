"""What an accepted write does: identity, attributes, events, and what vanishes without a word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import InsiderOneCaller

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def user(identifiers: dict[str, Any] | None = None, *events: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {"identifiers": identifiers or {"email": "ada@example.org"}}
    return sent | ({"attributes": attributes} if attributes else {}) | ({"events": list(events)} if events else {})


def event(name: str = "page", days_ago: float = 1, **params: Any) -> dict[str, Any]:
    stamp = (NOW - timedelta(days=days_ago)).isoformat()
    return {"event_name": name, "timestamp": stamp, "event_params": params}


@pytest.fixture(autouse=True)
def _in_june(sandbox: Sandbox) -> None:
    sandbox.clock(frozen=NOW.isoformat())


def only(sandbox: Sandbox) -> dict[str, Any]:
    (one,) = sandbox.users()
    return one


def reasons(one: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(drop["kind"], drop["name"], drop["reason"]) for drop in one["dropped"]]


def test_scalars_are_overwritten_alone(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Scalars are overwritten and others stay."""
    insiderone.upsert(user(name="Ada", city="Oslo"))
    insiderone.upsert(user(name="Eva"))

    assert only(sandbox)["attributes"] == {"name": "Eva", "city": "Oslo"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param({}, ["a", "b", "c"], id="default appends, each value once"),
        pytest.param({"not_append": True}, ["b", "c"], id="not_append replaces"),
        pytest.param({"append": False}, ["b", "c"], id="append false replaces"),
        pytest.param({"append": True, "not_append": True}, ["a", "b", "c"], id="append wins"),
    ],
)
def test_arrays_are_appended(
    insiderone: InsiderOneCaller, sandbox: Sandbox, flags: dict[str, bool], expected: list[str]
) -> None:
    """Arrays are appended to by default.

    The default that surprises: a replay of the whole array does not replace it.
    """
    insiderone.upsert(user(custom={"sizes": ["a", "b"]}))
    insiderone.upsert(user(custom={"sizes": ["b", "c"]}) | flags)

    assert only(sandbox)["attributes"]["custom"]["sizes"] == expected


def test_equal_event_is_stored_once(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """The same event is stored once.

    Identity is profile, name, time and parameters, whatever the order of keys or the spelling of the offset.
    """
    insiderone.upsert(user(None, event("page", a=1, b=2)))
    same = {**event("page", b=2, a=1), "timestamp": (NOW - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}

    insiderone.upsert(user(None, same))

    one = only(sandbox)
    assert len(one["events"]) == 1
    assert reasons(one) == [("event", "page", "the same event is stored already")]


def test_changed_parameter_makes_new_event(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A changed parameter makes another event.

    Order lines differ by product only; a corrected event is a second one.
    """
    insiderone.upsert(user(None, event("page", a=1), event("page", a=2)))

    assert [one["event_params"] for one in only(sandbox)["events"]] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("purchase", 730),
        ("item_added_to_cart", 90),
        ("product_detail_page_view", 90),
        ("sign_up_confirmation", 365),
        ("own", 90),
    ],
)
def test_expired_event_vanishes(insiderone: InsiderOneCaller, sandbox: Sandbox, name: str, days: int) -> None:
    """An event beyond its retention vanishes. Accepted, counted as successful, never written."""
    params = {"event_group_id": "1", "unit_sale_price": 2}

    report = insiderone.upsert(user(None, event(name, days - 1, **params)), user(None, event(name, days + 1, **params)))

    one = only(sandbox)
    assert report["successful"] == {"count": 2}
    assert len(one["events"]) == 1
    assert reasons(one) == [("event", name, "older than Insider One keeps such events")]


def test_custom_retention_is_configurable(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """The retention of custom events is a setting."""
    sandbox.insiderone_settings(custom_event_retention_days=700)

    insiderone.upsert(user(None, event("own", 600)))

    assert len(only(sandbox)["events"]) == 1


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        pytest.param({"loyalty_tier": "gold"}, "loyalty_tier", id="custom attribute at the root"),
        pytest.param({"birthday": "1985-12-10T00:00:00+01:00"}, "birthday", id="birthday with an offset"),
        pytest.param({"birthday": "1985-12-10"}, "birthday", id="birthday without time"),
        pytest.param({"email_optin": "true"}, "email_optin", id="opt-in as string"),
        pytest.param({"age": "41"}, "age", id="age as string"),
        pytest.param({"country": "Norway"}, "country", id="country by name"),
        pytest.param({"name": None}, "name", id="null"),
        pytest.param({"email": "ada@example.org"}, "email", id="identifier as attribute"),
        pytest.param({"custom": {"address": {"city": "Oslo"}}}, "custom.address", id="object"),
        pytest.param({"custom": {"grid": [[1], [2]]}}, "custom.grid", id="nested array"),
    ],
)
def test_wrong_type_is_ignored(
    insiderone: InsiderOneCaller, sandbox: Sandbox, attributes: dict[str, Any], name: str
) -> None:
    """A value of the wrong kind is not reflected. The API says success; only the profile shows that nothing arrived."""
    report = insiderone.upsert(user(surname="Berg", **attributes))

    one = only(sandbox)
    assert report["successful"] == {"count": 1}
    assert one["attributes"] == {"surname": "Berg"}
    assert [(drop["kind"], drop["name"]) for drop in one["dropped"]] == [("attribute", name)]


def test_undefined_names_vanish(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Names not defined in the panel vanish. Default events are always defined."""
    sandbox.insiderone_settings(custom_attributes=["tier"], events=["own"])

    insiderone.upsert(
        user(None, event("own"), event("other"), event("homepage_view"), custom={"tier": "gold", "points": 1})
    )

    one = only(sandbox)
    assert one["attributes"] == {"custom": {"tier": "gold"}}
    assert [stored["event_name"] for stored in one["events"]] == ["own", "homepage_view"]
    assert {drop["name"] for drop in one["dropped"]} == {"custom.points", "other"}


def test_disabled_identifier_finds_nobody(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """An identifier that is not enabled finds nobody.

    With uuid as the only identifier an e-mail stays a plain attribute.
    """
    sandbox.insiderone_settings(identifiers=["uuid"])

    insiderone.upsert(user({"email": "ada@example.org", "uuid": "1a"}, name="Ada"))
    insiderone.upsert(user({"email": "ada@example.org", "uuid": "2b"}, name="Eva"))

    users = sandbox.users()
    assert [one["identifiers"] for one in users] == [{"uuid": "1a"}, {"uuid": "2b"}]
    assert {one["attributes"]["email"] for one in users} == {"ada@example.org"}


def test_unidentified_user_is_lost(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A user without a usable identifier is accepted and lost.

    Blocked values such as ``undefined`` find nobody either.
    """
    report = insiderone.upsert(user({"uuid": "undefined"}, name="Ada"))

    assert report["successful"] == {"count": 1}
    assert sandbox.users() == []
    assert [drop["kind"] for drop in sandbox.drops()] == ["identifier", "user"]


def test_unresolvable_user_can_be_refused(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """An account may refuse what it cannot resolve."""
    sandbox.insiderone_settings(unresolved="refuse")

    report = insiderone.upsert(user({"custom": {"klaviyo_id": "01"}}, name="Ada"))

    assert set(report["fail"]["errors"]) == {"users.0.identifiers.required", "users.0.insider_id.required"}


def test_configured_identifiers_find_people(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Custom identifiers find people once configured."""
    sandbox.insiderone_settings(custom_identifiers=["klaviyo_id"])

    insiderone.upsert(user({"custom": {"klaviyo_id": "01"}}, name="Ada"))
    insiderone.upsert(user({"custom": {"klaviyo_id": "01"}, "email": "ada@example.org"}, city="Oslo"))

    one = only(sandbox)
    assert one["identifiers"] == {"email": "ada@example.org", "custom": {"klaviyo_id": "01"}}
    assert one["attributes"] == {"name": "Ada", "city": "Oslo"}


def test_profiles_of_one_person_merge(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Two profiles with one person merge.

    The identifier that counts most decides which profile stays; the newest value of an attribute wins.
    """
    insiderone.upsert(user({"email": "ada@example.org"}, event("page", a=1), name="Ada", city="Oslo"))
    insiderone.upsert(user({"uuid": "1a"}, event("page", a=2), name="Eva"))
    kept = sandbox.users()[0]["insider_id"]

    insiderone.upsert(user({"uuid": "1a", "email": "ada@example.org"}, surname="Berg"))

    one = only(sandbox)
    assert one["insider_id"] == kept
    assert one["attributes"] == {"name": "Eva", "city": "Oslo", "surname": "Berg"}
    assert [stored["event_params"]["a"] for stored in one["events"]] == [1, 2]


def test_full_identifier_keeps_value(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A full identifier keeps its value."""
    sandbox.insiderone_settings(identifiers=["uuid", "email"], max_values={"email": 1})

    insiderone.upsert(user({"uuid": "1a", "email": "old@example.org"}, name="Ada"))
    insiderone.upsert(user({"uuid": "1a", "email": "new@example.org"}, name="Ada"))

    assert only(sandbox)["identifiers"] == {"uuid": "1a", "email": "old@example.org"}


def test_unmerged_value_finds_nobody(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A value that a merge has no room for finds nobody.

    It must not lead to the profile that was merged away: the write after the next merge failed with a 500.
    """
    sandbox.insiderone_settings(identifiers=["uuid", "email"], max_values={"email": 1})
    ada, eva = "ada@example.org", "eva@example.org"
    insiderone.upsert(user({"uuid": "1a", "email": ada}, name="Ada"), user({"uuid": "2b", "email": eva}, name="Eva"))
    insiderone.upsert(user({"uuid": "1a", "email": eva}, name="Eva"))
    insiderone.upsert(user({"uuid": "3c"}, name="Ada"), user({"uuid": "3c", "email": ada}, name="Ada"))

    report = insiderone.upsert(user({"uuid": "3c", "email": eva}, name="Eva"))

    assert report["successful"] == {"count": 1}
    assert only(sandbox)["identifiers"] == {"uuid": "3c", "email": ada}


def test_new_email_makes_second_user(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A new email alone makes a second user. Why a stable identifier is recommended."""
    insiderone.upsert(user({"email": "old@example.org"}, name="Ada"))
    insiderone.upsert(user({"email": "new@example.org"}, name="Ada"))

    assert len(sandbox.users()) == 2


def test_insider_id_finds_a_user(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    insiderone.upsert(user(name="Ada"))
    insider_id = only(sandbox)["insider_id"]

    insiderone.upsert({"insider_id": insider_id, "attributes": {"city": "Oslo"}})

    assert only(sandbox)["attributes"] == {"name": "Ada", "city": "Oslo"}


def test_skip_hook_is_stored(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Skip_hook stays with what it was sent with.

    It is request-wide, so a test can tell backfilled events from live ones.
    """
    insiderone.upsert(user(None, event("page", a=1)), skip_hook=True)
    insiderone.upsert(user(None, event("page", a=2)))

    assert [stored["skip_hook"] for stored in only(sandbox)["events"]] == [True, False]


def test_attribute_delete_removes_values(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """Attribute delete removes whole values and elements. The documented sample's shape; identifiers stay."""
    insiderone.upsert(
        user(name="Ada", surname="Berg", static_segment_id=[7, 8], custom={"tier": "gold", "sizes": ["L", "M"]})
    )

    answer = insiderone.post(
        "attribute/delete",
        {
            "users": [
                {
                    "identifiers": {"email": "ada@example.org"},
                    "whole": ["surname", "email"],
                    "partial": {"static_segment_id": [7]},
                    "custom": {"whole": ["tier"], "partial": {"sizes": ["L"]}},
                }
            ]
        },
    )

    one = only(sandbox)
    assert answer.json() == {"data": {"successful": {"count": 1}, "fail": {}}}
    assert one["attributes"] == {"name": "Ada", "static_segment_id": [8], "custom": {"sizes": ["M"]}}
    assert one["identifiers"] == {"email": "ada@example.org"}


def test_attribute_delete_refuses_like_upsert(insiderone: InsiderOneCaller) -> None:
    answer = insiderone.post("attribute/delete", {"users": [{"identifiers": {"email": "nope"}, "whole": ["name"]}]})

    assert answer.json()["data"]["fail"]["errors"] == {
        r"users.0.identifiers.*.regexp(^.+@.+\..+$)": ["not a valid email address: nope"]
    }


def test_profile_read_has_own_names(insiderone: InsiderOneCaller) -> None:
    """The profile read has its own names.

    ``c_`` before custom attributes, ``gdpr`` for ``gdpr_optin``, ``iid`` for the profile id.
    """
    insiderone.upsert(user(None, event("page", 2, a=1, custom={"b": 2}), gdpr_optin=True, custom={"tier": "gold"}))

    answer = insiderone.post(
        "profile",
        {
            "identifiers": {"email": "ada@example.org"},
            "attributes": ["email", "gdpr", "c_tier", "surname"],
            "events": {
                "start_date": 0,
                "end_date": 2_000_000_000,
                "wanted": [{"event_name": "page", "params": ["a", "c_b"]}],
            },
            "quota": True,
        },
    ).json()

    insider_id = answer["attributes"].pop("iid")
    assert insider_id.startswith("s1.")
    assert answer["attributes"] == {"email": "ada@example.org", "gdpr": True, "c_tier": "gold"}
    assert answer["events"] == {"page": [{"a": 1, "c_b": 2}]}
    assert answer["quota"]["total"] == 1_000


def test_unknown_profile_is_404(insiderone: InsiderOneCaller) -> None:
    """The profile of nobody is a 404."""
    answer = insiderone.post("profile", {"identifiers": {"email": "no@example.org"}, "attributes": ["*"]})

    assert (answer.status_code, answer.json()) == (404, {"error": "no such user for these identifiers: no data"})
