"""The flow of consent changes, through the command line."""

from __future__ import annotations

import pytest

NOON = "2026-06-01T12:00:00Z"
STREAM = "subscription_changes"


@pytest.fixture
def account(sandbox, profiles):
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(30, updated="2026-01-01T00:00:00Z"))
    return sandbox


@pytest.fixture
def changes(tap):
    """Run this stream alone."""
    return lambda **options: tap(streams=[STREAM], **options)


def unsubscription(number, moment, metric="Unsubscribed from Email Marketing", **more):
    return {"metric": metric, "integration": "Klaviyo", "profile_id": f"P{number:05}", "datetime": moment, **more}


@pytest.mark.req("IN-45", "CS-12")
def test_two_changes_make_one_record(changes, account, queries):
    """Two changes of one profile make one record of the latest state.

    The profile is read again in full, once; the events tell when and by what.
    """
    account.consent("P00001", "email", "SUBSCRIBED", at="2026-05-30T10:00:00Z")
    account.consent("P00001", "email", "UNSUBSCRIBED", at="2026-05-30T11:00:00Z")
    outcome = changes()

    (record,) = outcome.records(STREAM)
    assert record["id"] == "P00001"
    assert record["email"] == "p1@shop.example"
    assert record["changed_at"] == "2026-05-30T11:00:00Z"
    assert record["changed_by"] == ["Subscribed to Email Marketing", "Unsubscribed from Email Marketing"]
    assert record["subscriptions"]["email"]["marketing"]["consent"] == "UNSUBSCRIBED"
    (asked,) = queries("/api/profiles")
    assert 'any(id,["P00001"])' in asked


@pytest.mark.req("IN-45", "CS-12")
@pytest.mark.parametrize("naming", ["new", "old"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_both_metric_families_are_known(changes, account, naming, channel):
    """Metrics of both naming families are known.

    In July 2026 Klaviyo renamed the SMS metrics; accounts hold either family, or both.
    """
    for number, consent in enumerate(["SUBSCRIBED", "UNSUBSCRIBED"]):
        account.consent(f"P{number:05}", channel, "SUBSCRIBED", at="2026-05-29T10:00:00Z", event=False)
        account.consent(f"P{number:05}", channel, consent, at="2026-05-30T10:00:00Z", naming=naming)
    outcome = changes()

    assert outcome.ids(STREAM)[-1:] == ["P00001"]
    assert not any("no metric" in line for line in outcome.warnings())


@pytest.mark.req("IN-45", "IN-49", "CS-12")
def test_next_run_reads_later_changes(changes, account):
    """Next run reads only later changes. Records come in the order of the changes, and not twice."""
    account.add_events([unsubscription(n, f"2026-05-30T1{n}:00:00Z") for n in (3, 1, 2)])
    first = changes()
    account.clock(frozen="2026-06-02T12:00:00Z")
    account.add_events([unsubscription(7, "2026-06-02T10:00:00Z")])
    second = changes(state=first.state)
    third = changes(state=second.state)

    assert [first.ids(STREAM), second.ids(STREAM), third.ids(STREAM)] == [
        ["P00001", "P00002", "P00003"],
        ["P00007"],
        [],
    ]


@pytest.mark.req("CS-12", "IN-45")
def test_gone_people_are_counted(changes, account):
    """People who are gone are counted.

    Merged or erased people leave a number, not silence: known as such by the event, or by the re-read.
    """
    account.add_events([unsubscription(n, "2026-05-30T10:00:00Z") for n in range(3)])
    account.erase(["P00001"])
    erased = changes()
    nobody = '{"data":[],"links":{"next":null}}'
    account.fault("klaviyo", kind="status", status=200, body=nobody, path="/api/profiles", query="any(")
    unknown = changes()

    assert erased.ids(STREAM) == ["P00000", "P00002"]
    assert erased.summary(STREAM)["gone"] == 1
    assert unknown.ids(STREAM) == []
    assert unknown.summary(STREAM)["gone"] == 3


@pytest.mark.req("CS-03", "C-3")
def test_lookback_finds_only_new_changes(changes, account):
    """Lookback finds late changes and leaves known ones alone.

    With 7 days, a change that surfaced late has its profile read; the others are remembered by their event.
    """
    account.add_events(
        [
            unsubscription(1, "2026-05-30T10:00:00Z"),
            unsubscription(2, "2026-05-29T10:00:00Z", visible_after="2026-06-01T12:30:00Z"),
        ]
    )
    first = changes(lookback_window_days=7)
    account.clock(frozen="2026-06-01T13:00:00Z")
    second = changes(lookback_window_days=7, state=first.state)
    third = changes(lookback_window_days=7, state=second.state)

    assert [first.ids(STREAM), second.ids(STREAM), third.ids(STREAM)] == [["P00001"], ["P00002"], []]
    assert third.summary(STREAM)["repeats"] == 2


@pytest.mark.req("CS-12")
def test_state_forgets_old_changes(changes, account):
    """State forgets changes that the lookback no longer reaches. Or it would grow with every run."""
    account.add_events([unsubscription(1, "2026-05-30T10:00:00Z")])
    state = None
    for moment in ("2026-06-01T12:00:00Z", "2026-06-05T12:00:00Z", "2026-06-10T12:00:00Z", "2026-06-10T12:30:00Z"):
        account.clock(frozen=moment)
        state = changes(lookback_window_days=7, state=state).state

    assert state["bookmarks"][STREAM]["seen"] == []


@pytest.mark.req("C-8", "IN-45")
def test_profiles_reread_in_hundreds(changes, sandbox, profiles, queries):
    """Profiles are read again a hundred at a time. No call per profile."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(250, updated="2026-01-01T00:00:00Z"))
    sandbox.add_events([unsubscription(n, "2026-05-30T10:00:00Z", touch=False) for n in range(250)])
    outcome = changes()

    assert len(set(outcome.ids(STREAM))) == 250
    assert len(queries("/api/profiles")) == 3


@pytest.mark.req("IN-35", "CS-12")
def test_page_limit_counts_consent_pages(changes, account):
    """Page limit counts pages of consent events. Whatever the stop, all changes arrive in the end, each once."""
    account.add_events([unsubscription(n, "2026-05-30T10:00:00Z") for n in range(25)])
    ids, state = [], None
    for _ in range(4):
        outcome = changes(events_page_size=10, max_pages=1, state=state)
        ids.append(outcome.ids(STREAM))
        state = outcome.state

    assert [len(run) for run in ids] == [10, 10, 5, 0]
    assert len({key for run in ids for key in run}) == 25


@pytest.mark.req("CS-12")
def test_consent_metrics_can_be_chosen(changes, account):
    """Metrics can be chosen and an unknown one is reported. The setting replaces the built-in list."""
    account.add_events(
        [
            unsubscription(1, "2026-05-30T10:00:00Z"),
            unsubscription(2, "2026-05-30T10:00:00Z", metric="Left the club", integration="API"),
        ]
    )
    outcome = changes(subscription_metrics=["Left the club", "Unsubscribed form Email Marketing"])

    assert outcome.ids(STREAM) == ["P00002"]
    assert any("did you mean `Unsubscribed from Email Marketing`" in line for line in outcome.warnings())


@pytest.mark.req("CS-01", "C-24")
def test_second_missing_scope_is_named(changes, account):
    """Missing scope of the second endpoint is named.

    The consent events can be read, the profiles cannot; the bookmark stays where it was.
    """
    account.add_key("pk_events_only", ["events:read", "metrics:read"])
    account.add_events([unsubscription(1, "2026-05-30T10:00:00Z")])
    outcome = changes(api_key="pk_events_only")

    assert outcome.code == 1
    assert "GET /api/profiles: the `api_key` lacks the scope profiles:read" in outcome.log
    assert outcome.state["bookmarks"].get(STREAM, {}) == {}


@pytest.mark.req("CS-12", "IN-45")
def test_older_change_is_not_reread(changes, sandbox):
    """Change older than the re-read is not read again.

    Windows of profiles are read again one after the other; who came up in an earlier one is up to date.
    """
    sandbox.quotas(None)
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles([{"id": f"P{n:05}", "attributes": {"updated": "2026-01-01T00:00:00Z"}} for n in range(2_001)])
    moments = [f"2026-05-30T10:{n // 60:02}:{n % 60:02}Z" for n in range(2_001)]
    sandbox.add_events([unsubscription(n, moment, touch=False) for n, moment in enumerate(moments)])
    sandbox.add_events([unsubscription(0, "2026-05-31T10:00:00Z", touch=False)])
    outcome = changes()

    assert outcome.ids(STREAM) == [f"P{n:05}" for n in range(2_001)]
    assert outcome.summary(STREAM)["already_read"] == 1
    assert len([state for state in outcome.states if state["bookmarks"][STREAM]]) >= 2
