"""The control plane: what it changes is what the APIs show."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, Sandbox

if TYPE_CHECKING:
    from .conftest import InsiderOneCaller, KlaviyoCaller

NUMBERS = ["12345678901234567890", "99999999999999999999", "0.1000", "1e-7", "-0", "3.0", "1.10"]


@pytest.mark.parametrize("number", NUMBERS)
def test_klaviyo_numbers_are_exact(klaviyo: KlaviyoCaller, sandbox: Sandbox, number: str) -> None:
    """A Klaviyo number stays digit for digit. From the control plane to every answer that carries it; nested too."""
    text = f'{{"n":{number},"deep":[{{"n":{number}}}]}}'
    control = sandbox.control_url + "/control"
    profile = f'{{"profiles":[{{"id":"P1","attributes":{{"properties":{text}}}}}]}}'
    event = f'{{"events":[{{"metric":"M","profile_id":"P1","datetime":"2026-01-01T00:00:00Z","properties":{text}}}]}}'
    requests.post(f"{control}/profiles", data=profile, timeout=30).raise_for_status()
    requests.post(f"{control}/events", data=event, timeout=30).raise_for_status()

    assert f'"properties":{text}' in klaviyo.get("/api/profiles").text
    assert f'"event_properties":{text}' in klaviyo.get("/api/events").text
    assert f'"properties":{text}' in klaviyo.get("/api/events", include="profile").text


@pytest.mark.parametrize("number", NUMBERS)
def test_insiderone_numbers_are_exact(insiderone: InsiderOneCaller, sandbox: Sandbox, number: str) -> None:
    """An Insider One number stays digit for digit.

    A target that rounds would be caught by looking at what was stored.
    """
    stored = f'{{"a":{number}}}'
    user = (
        f'{{"identifiers":{{"email":"a@b.co"}},"attributes":{{"custom":{stored}}},'
        f'"events":[{{"event_name":"e","timestamp":"2099-01-01T00:00:00Z","event_params":{stored}}}]}}'
    )

    answer = insiderone.post("upsert", headers={"Content-Type": "application/json"}, data=f'{{"users":[{user}]}}')

    text = requests.get(f"{sandbox.control_url}/control/insiderone/users", timeout=30).text
    assert answer.status_code == 200
    assert text.count(stored) == 2


def test_decimals_survive_the_python_client(sandbox: Sandbox) -> None:
    sandbox.add_profiles([{"attributes": {"properties": {"exact": Decimal("0.1000"), "big": 99999999999999999999}}}])

    (profile,) = sandbox.klaviyo_profiles(exact=True)

    assert profile["attributes"]["properties"]["big"] == 99999999999999999999
    assert str(profile["attributes"]["properties"]["exact"]) == "0.1000"


def test_reset_empties_everything(klaviyo: KlaviyoCaller, insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    sandbox.seed(profiles=10, events=60)
    sandbox.add_key("pk_extra", ["events:read"])
    sandbox.clock(frozen="2020-01-01T00:00:00Z")
    sandbox.fault("klaviyo", kind="reset", times=None)
    insiderone.upsert({"identifiers": {"email": "a@b.co"}, "attributes": {"name": "A"}})

    sandbox.reset()

    assert sandbox.counts() == {"profiles": 0, "events": 0, "metrics": 0}
    assert sandbox.users() == sandbox.journal() == sandbox.journal("insiderone") == []
    answer = klaviyo.get("/api/profiles")
    assert answer.status_code == 200
    assert "2020" not in answer.headers["Date"]
    assert "RateLimit-Limit" in answer.headers


def test_an_event_moves_its_profile(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """``updated`` is moved by bookkeeping such as ``last_event_date``."""
    sandbox.clock(frozen="2026-05-01T00:00:00Z")
    sandbox.add_profiles([{"id": name, "attributes": {"updated": "2026-01-01T00:00:00Z"}} for name in ("P1", "P2")])
    event = {"metric": "Placed Order", "datetime": "2026-04-01T00:00:00Z"}

    sandbox.add_events([{**event, "profile_id": "P1"}, {**event, "profile_id": "P2", "touch": False}])

    shown = {row["id"]: row["attributes"] for row in klaviyo.get("/api/profiles").json()["data"]}
    assert shown["P1"]["updated"] == "2026-05-01T00:00:00+00:00"
    assert shown["P1"]["last_event_date"] == "2026-04-01T00:00:00+00:00"
    assert shown["P2"]["updated"] == "2026-01-01T00:00:00+00:00"


def test_late_event_appears_in_time(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A late event appears once the clock passes. Events have surfaced days after they happened."""
    sandbox.clock(frozen="2026-05-01T00:00:00Z")
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    late = {"datetime": "2026-04-01T00:00:00Z", "visible_after": "2026-05-04T00:00:00Z"}
    sandbox.add_events([{"id": "E1", "metric": "M", "profile_id": "P1", **late}])

    before = klaviyo.get("/api/events").json()["data"], klaviyo.get("/api/events/E1").status_code
    sandbox.clock(frozen="2026-05-04T00:00:00Z")

    assert before == ([], 404)
    assert [row["id"] for row in klaviyo.get("/api/events").json()["data"]] == ["E1"]


def test_attributions_can_come_later(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Klaviyo credits an order hours after it; the event stays as it is otherwise."""
    sandbox.add_profiles([{"id": "P1", "attributes": {"updated": "2026-01-01T00:00:00Z"}}])
    event = {"metric": "Placed Order", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z", "touch": False}
    sandbox.add_events([{**event, "id": "E1"}])
    before = klaviyo.get("/api/events", include="attributions").json()

    sandbox.attribute("E1", [{"id": "A1", "flow": "F1"}])

    after = klaviyo.get("/api/events", include="attributions").json()
    assert before["included"] == []
    assert [one["id"] for one in after["included"]] == ["A1"]
    assert after["data"][0]["attributes"] == before["data"][0]["attributes"]
    assert klaviyo.get("/api/profiles/P1").json()["data"]["attributes"]["updated"].startswith("2026-01-01")
    assert sandbox.klaviyo_events()[0]["attributions"] == [{"id": "A1", "flow": "F1"}]


@pytest.mark.parametrize(
    ("event_id", "attributions", "status"),
    [
        pytest.param("E9", [], 404, id="unknown event"),
        pytest.param("E1", [{"flows": "F1"}], 400, id="misspelled"),
        pytest.param("E1", [{"flow": 'F"1'}], 400, id="impossible id"),
    ],
)
def test_impossible_attributions_are_refused(
    sandbox: Sandbox, event_id: str, attributions: list[dict[str, str]], status: int
) -> None:
    """Attributions that cannot be are refused."""
    sandbox.add_events([{"id": "E1", "metric": "M", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}])

    with pytest.raises(ValueError, match=str(status)):
        sandbox.attribute(event_id, attributions)

    assert sandbox.klaviyo_events()[0]["attributions"] == []


def test_touch_merges_properties(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Touch merges properties key by key."""
    sandbox.add_profiles([{"id": "P1", "attributes": {"email": "a@b.co", "properties": {"a": 1, "b": 2}}}])

    sandbox.touch(["P1"], {"first_name": "Ada", "properties": {"b": 3}}, at="2026-01-05T00:00:00Z")

    shown = klaviyo.get("/api/profiles/P1").json()["data"]["attributes"]
    assert shown["properties"] == {"a": 1, "b": 3}
    assert (shown["email"], shown["first_name"], shown["updated"]) == ("a@b.co", "Ada", "2026-01-05T00:00:00+00:00")


def test_erased_profiles_leave_their_events(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The relationship has no usable target, and ``has(profile)`` leaves such rows out."""
    sandbox.add_profiles([{"id": name, "attributes": {}} for name in ("P1", "P2")])
    event = {"metric": "M", "datetime": "2026-01-01T00:00:00Z"}
    sandbox.add_events([{**event, "id": "E1", "profile_id": "P1"}, {**event, "id": "E2", "profile_id": "P2"}])

    assert sandbox.erase(["P1", "unknown"]) == 1

    page = klaviyo.get("/api/events", include="profile").json()
    assert "data" not in page["data"][0]["relationships"]["profile"]
    assert [one["id"] for one in page["included"]] == ["P2"]
    assert [row["id"] for row in klaviyo.get("/api/events", filter="has(profile)").json()["data"]] == ["E2"]


@pytest.mark.parametrize(
    ("channel", "consent", "suppression", "naming", "metric"),
    [
        ("email", "SUBSCRIBED", None, "new", "Subscribed to Email Marketing"),
        ("email", "UNSUBSCRIBED", None, "new", "Unsubscribed from Email Marketing"),
        ("email", "UNSUBSCRIBED", None, "old", "Unsubscribed"),
        ("email", "SUBSCRIBED", "USER_SUPPRESSED", "new", "Manually Suppressed from Email Marketing"),
        ("email", "UNSUBSCRIBED", "SPAM_COMPLAINT", "new", "Marked Email as Spam"),
        ("email", "SUBSCRIBED", "HARD_BOUNCE", "new", "Bounced Email"),
        ("sms", "SUBSCRIBED", None, "new", "Subscribed to Text Messaging Marketing"),
        ("sms", "SUBSCRIBED", None, "old", "Subscribed to SMS Marketing"),
        ("sms", "UNSUBSCRIBED", None, "new", "Unsubscribed from Text Messaging Marketing"),
        ("sms", "UNSUBSCRIBED", None, "old", "Unsubscribed from SMS Marketing"),
        ("whatsapp", "SUBSCRIBED", None, "new", "Subscribed to WhatsApp marketing"),
        ("whatsapp", "UNSUBSCRIBED", None, "new", None),
        ("email", "PENDING", None, "new", None),
        ("email", "NEVER_SUBSCRIBED", None, "new", None),
    ],
)
def test_consent_change_leaves_event(
    klaviyo: KlaviyoCaller,
    sandbox: Sandbox,
    channel: str,
    consent: str,
    suppression: str | None,
    naming: str,
    metric: str | None,
) -> None:
    """Consent changes state and leaves an event."""
    sandbox.add_profiles([{"id": "P1", "attributes": {"updated": "2026-01-01T00:00:00Z"}}])
    at = "2026-02-03T04:05:06Z"

    sandbox.consent("P1", channel, consent, suppression=suppression, naming=naming, at=at)

    shown = klaviyo.get("/api/profiles/P1", additional_fields__profile="subscriptions").json()["data"]["attributes"]
    assert shown["subscriptions"][channel]["marketing"]["consent"] == consent
    assert shown["updated"] == "2026-02-03T04:05:06+00:00"
    events = sandbox.klaviyo_events()
    assert [(one["metric_name"], one["integration"]) for one in events] == ([(metric, "Klaviyo")] if metric else [])
    assert [one["resource"]["attributes"]["timestamp"] for one in events] == ([1770091506] if metric else [])


def test_suppression_is_independent_of_consent(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A subscribed address may be unreachable; subscribing again lifts it."""
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])

    def marketing() -> dict[str, Any]:
        answer = klaviyo.get("/api/profiles/P1", additional_fields__profile="subscriptions").json()
        found: dict[str, Any] = answer["data"]["attributes"]["subscriptions"]["email"]["marketing"]
        return found

    sandbox.consent("P1", "email", "SUBSCRIBED", suppression="HARD_BOUNCE")
    suppressed = marketing()
    sandbox.consent("P1", "email", "SUBSCRIBED")

    assert (suppressed["consent"], suppressed["can_receive_email_marketing"]) == ("SUBSCRIBED", False)
    assert [one["reason"] for one in suppressed["suppression"]] == ["HARD_BOUNCE"]
    assert marketing()["suppression"] == []


def test_frozen_clock_sets_date_header(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The frozen clock rules the date header."""
    sandbox.clock(frozen="2026-06-01T12:00:00Z")

    assert klaviyo.get("/api/metrics").headers["Date"] == "Mon, 01 Jun 2026 12:00:00 GMT"


def test_journal_omits_credentials(klaviyo: KlaviyoCaller, insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """The journal keeps what was asked and no credentials."""
    body = {"users": [{"identifiers": {"email": "a@b.co"}, "attributes": {"name": "A"}}], "skip_hook": True}
    sandbox.seed(profiles=5, events=0)
    klaviyo.get("/api/profiles", filter="greater-than(updated,2020-01-01T00:00:00Z)")
    insiderone.post("upsert", body)

    (read,), (write,) = sandbox.journal(), sandbox.journal("insiderone")

    assert (read["method"], read["path"], read["status"], read["records"]) == ("GET", "/api/profiles", 200, 5)
    assert read["query"] == "filter=greater-than(updated,2020-01-01T00:00:00Z)"
    assert "events:read" in read["key_scopes"]
    assert write["body"] == body
    assert write["records"] == 1
    assert "pk_" not in json.dumps(read)
    assert "sandbox-token" not in json.dumps(write)


def test_key_has_given_scopes(sandbox: Sandbox) -> None:
    """A key has the scopes it was given."""
    sandbox.add_key("pk_narrow", ["profiles:read"])
    headers = {"Authorization": "Klaviyo-API-Key pk_narrow", "revision": "2026-07-15"}

    profiles = requests.get(f"{sandbox.klaviyo_url}/api/profiles", headers=headers, timeout=30)
    events = requests.get(f"{sandbox.klaviyo_url}/api/events", headers=headers, timeout=30)

    assert profiles.status_code == 200
    assert events.status_code == 403
    assert "events:read" in events.json()["errors"][0]["detail"]


def test_latency_delays_one_side_only(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Seen from a client that gives up first; the request itself has taken effect."""
    sandbox.latency("klaviyo", 5)
    headers = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": "2026-07-15"}

    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{sandbox.klaviyo_url}/api/metrics", headers=headers, timeout=0.2)
    sandbox.latency("klaviyo", 0)

    assert klaviyo.get("/api/metrics").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("profiles", {"profiles": [{"attributes": {"e_mail": "a@b.co"}}]}),
        ("profiles", {"profiles": [{"id": 'P"1', "attributes": {}}]}),
        ("events", {"events": [{"metric": "M", "profile_id": "P1", "datetime": "yesterday"}]}),
        ("events", {"events": [{"metric": "M", "profile_id": "P1", "datetime": "2026-01-01", "properties": [1]}]}),
        ("events", {"events": [{"metrik": "M", "profile_id": "P1", "datetime": "2026-01-01"}]}),
        ("faults", {"side": "klaviyo", "kind": "explode"}),
        ("clock", {"frozen": "never"}),
        ("quotas", {"limits": {"GET /api/events": "many"}}),
        ("insiderone/settings", {"nothing": 1}),
        ("consent", {"id": "P1", "channel": "pigeon", "consent": "SUBSCRIBED"}),
    ],
)
def test_a_misspelled_wish_is_refused(sandbox: Sandbox, path: str, body: dict[str, Any]) -> None:
    """A typing error in a test must not pass for a quiet success."""
    answer = requests.post(f"{sandbox.control_url}/control/{path}", json=body, timeout=30)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_unknown_profile_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no profile with id P9"):
        sandbox.touch(["P9"])


def test_another_client_can_attach(sandbox: Sandbox) -> None:
    """Demonstrations attach to the sandbox that the make target started."""
    with Sandbox.attach(sandbox.control_url) as other:
        other.add_profiles([{"attributes": {}}])

    assert other.klaviyo_url == sandbox.klaviyo_url
    assert sandbox.counts()["profiles"] == 1


def test_added_list_is_replaceable(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """An added list is listed, and replaced by its id, with the given times."""
    (list_id,) = sandbox.add_lists([{"name": "VIP", "created": "2026-01-01T00:00:00Z", "double_opt_in": False}])
    sandbox.add_lists([{"id": list_id, "name": "VIPs", "updated": "2026-02-01T00:00:00Z"}])

    (only,) = klaviyo.get("/api/lists").json()["data"]
    assert (only["id"], only["attributes"]["name"]) == (list_id, "VIPs")
    assert only["attributes"]["updated"] == "2026-02-01T00:00:00+00:00"
