"""Made-up data: the same every time, of the size asked for, with everything that breaks naive pipelines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller

NOW = "2026-06-01T00:00:00+00:00"


def seeded(sandbox: Sandbox, **wishes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    sandbox.reset()
    sandbox.clock(frozen=NOW)
    sandbox.seed(**{"profiles": 300, "events": 3_000, **wishes})
    return sandbox.klaviyo_profiles(), sandbox.klaviyo_events()


def test_seed_is_deterministic(sandbox: Sandbox) -> None:
    """The same seed makes the same data."""
    assert seeded(sandbox, seed=3) == seeded(sandbox, seed=3)


def test_another_seed_makes_other_data(sandbox: Sandbox) -> None:
    assert seeded(sandbox, seed=3) != seeded(sandbox, seed=4)


@pytest.mark.parametrize(("profiles", "events"), [(300, 3_000), (20, 0), (1, 10), (50, 50), (0, 0)])
@pytest.mark.parametrize("hostile", [True, False])
def test_counts_are_exact(sandbox: Sandbox, profiles: int, events: int, hostile: bool) -> None:
    counts = sandbox.seed(profiles=profiles, events=events, hostile=hostile)

    assert (counts["profiles"], counts["events"]) == (profiles, events)


def test_a_second_seeding_adds(sandbox: Sandbox) -> None:
    sandbox.seed(profiles=10, events=100)

    assert sandbox.seed(profiles=10, events=100, seed=2)["events"] == 200


def test_friendly_data_ends_at_now(sandbox: Sandbox) -> None:
    profiles, events = seeded(sandbox, hostile=False)

    assert max(one["resource"]["attributes"]["datetime"] for one in events) <= NOW
    assert max(one["attributes"]["updated"] for one in profiles) <= NOW
    assert all(one["attributes"]["email"] for one in profiles)


def test_many_events_share_a_second(sandbox: Sandbox) -> None:
    """Three in ten have the second of another, and hostile data has one second with very many."""
    _, events = seeded(sandbox)

    ties = Counter(one["resource"]["attributes"]["timestamp"] for one in events)

    assert max(ties.values()) >= 150
    assert sum(number for number in ties.values() if number > 1) > 600


def test_hostile_profiles_are_awkward(sandbox: Sandbox) -> None:
    profiles, _ = seeded(sandbox)
    attributes = [one["attributes"] for one in profiles]

    nameless = [one for one in attributes if not (one["email"] or one["phone_number"] or one["external_id"])]
    phones = {one["phone_number"] for one in attributes}
    properties = [one["properties"] for one in attributes]

    assert nameless
    assert {"call me", "+123"} <= phones
    assert any(" " in (one["email"] or "") for one in attributes)
    assert any("loyalty points" in one and one["loyalty points"] == 12345678901234567890 for one in properties)
    assert any(isinstance(one.get("external_id"), int) for one in properties)


def test_hostile_events_are_awkward(sandbox: Sandbox) -> None:
    _, events = seeded(sandbox)
    orders = [
        one["resource"]["attributes"]["event_properties"] for one in events if one["metric_name"] == "Placed Order"
    ]
    times = [one["resource"]["attributes"]["datetime"] for one in events]

    assert max(times) > NOW
    assert min(times) < "2023-06-03"
    assert any("data" not in one["resource"]["relationships"]["profile"] for one in events)
    assert any(one["visible_after"] for one in events)
    assert any("Items" not in one for one in orders)
    assert any(one.get("Items") == [] for one in orders)
    assert any(one.get("Items") == "Teapot" for one in orders)
    assert any(line["ItemPrice"] == 0 for one in orders for line in one.get("Items", []) if isinstance(line, dict))


def test_some_orders_are_credited(sandbox: Sandbox) -> None:
    """Some orders are credited to a campaign or a flow.

    One in eight; to a campaign where its e-mail came to the same person before the order, or else to a flow.
    """
    _, events = seeded(sandbox, hostile=False)
    by_id = {one["resource"]["id"]: one for one in events}
    orders = [one for one in events if one["metric_name"] == "Placed Order"]
    credits_given = [(one, credit) for one in events for credit in one["attributions"]]

    assert len(credits_given) == len(orders) // 8
    assert {("campaign" in credit, "flow" in credit) for _, credit in credits_given} == {(True, False), (False, True)}
    for order, credit in credits_given:
        email = by_id[credit["attributed-event"]] if "attributed-event" in credit else None
        assert order["metric_name"] == "Placed Order"
        assert email is None or email["profile_id"] == order["profile_id"]
        assert email is None or email["metric_name"].endswith("Email")


def test_metric_name_is_ambiguous(sandbox: Sandbox) -> None:
    """A metric name stands twice with two integrations. Names are no keys."""
    _, events = seeded(sandbox)

    assert {one["integration"] for one in events if one["metric_name"] == "Placed Order"} == {"Shopify", "API"}


@pytest.mark.parametrize(
    ("naming", "there", "not_there"),
    [
        ("new", "Subscribed to Text Messaging Marketing", "Subscribed to SMS Marketing"),
        ("old", "Subscribed to SMS Marketing", "Subscribed to Text Messaging Marketing"),
    ],
)
def test_consent_metrics_have_both_names(sandbox: Sandbox, naming: str, there: str, not_there: str) -> None:
    """Consent metrics come in either family."""
    _, events = seeded(sandbox, naming=naming)
    names = {one["metric_name"] for one in events}

    assert there in names
    assert not_there not in names


def test_every_kind_of_consent_occurs(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    profiles, _ = seeded(sandbox)
    subscriptions = [one["attributes"]["subscriptions"] for one in profiles]

    email = {one["email"]["marketing"]["consent"] for one in subscriptions}
    sms = {one["sms"]["marketing"]["consent"] for one in subscriptions}
    reasons = {entry["reason"] for one in subscriptions for entry in one["email"]["marketing"]["suppression"]}

    assert email == {"SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED", "PENDING"}
    assert sms == {"SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"}
    assert reasons >= {"UNSUBSCRIBE", "USER_SUPPRESSED", "HARD_BOUNCE", "SPAM_COMPLAINT"}
    assert any(one["whatsapp"] for one in subscriptions)
    assert len(klaviyo.walk("/api/profiles", page__size=100)) == len(profiles)


def test_every_seeded_row_is_served(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """What the control plane calls the truth is what a walk brings, late events apart."""
    _, events = seeded(sandbox)
    sandbox.quotas(None)
    visible = {one["resource"]["id"] for one in events if one["visible_after"] is None}

    rows = klaviyo.walk("/api/events", page__size=1000, include="metric,profile", sort="datetime")

    assert {row["id"] for row in rows} == visible
    assert len(rows) == len(visible)
