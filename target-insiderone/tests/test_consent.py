"""Consent, from the record to what Insider One holds (the pure rules have their tests beside the mapping)."""

from __future__ import annotations

import pytest
from singer_messages import profile, record, schema


def consent(email: str = "SUBSCRIBED", at: str = "2026-05-01T10:00:00+00:00", **email_fields):
    """The part of `subscriptions` that e-mail consent stands in."""
    return {"email": {"marketing": {"consent": email, "consent_timestamp": at, "suppression": [], **email_fields}}}


def sent_optins(sandbox):
    """`email_optin` of every upsert, in order; None where it was left out."""
    return [
        request["body"]["users"][0].get("attributes", {}).get("email_optin")
        for request in sandbox.journal("insiderone")
    ]


@pytest.mark.req("CO-05")
def test_optin_is_sent_once(load, sandbox):
    """An opt-in is sent once so that an opt-out inside Insider One stands.

    An unrelated change of the profile must not opt somebody in again who opted out over there.
    """
    for name in ("First", "Second"):
        load([schema("profiles"), record("profiles", profile(1, first_name=name, subscriptions=consent()))])

    assert sent_optins(sandbox) == [True, None]
    assert sandbox.users()[0]["attributes"]["name"] == "Second"


@pytest.mark.req("CO-05")
def test_new_consent_is_sent(load, sandbox):
    """A new consent is sent again. Its timestamp differs, so the person has agreed anew."""
    for at in ("2026-05-01T10:00:00+00:00", "2026-05-02T10:00:00+00:00"):
        load([schema("profiles"), record("profiles", profile(1, subscriptions=consent(at=at)))])

    assert sent_optins(sandbox) == [True, True]


@pytest.mark.req("CO-05")
def test_optout_is_always_sent(load, sandbox):
    """An opt-out is always sent. Consent is law: a repeated opt-out harms nobody, a missing one does."""
    for name in ("First", "Second"):
        load(
            [schema("profiles"), record("profiles", profile(1, first_name=name, subscriptions=consent("UNSUBSCRIBED")))]
        )

    assert sent_optins(sandbox) == [False, False]


@pytest.mark.req("CO-05")
def test_optin_after_optout_is_sent(load, sandbox):
    """An opt-in after an opt-out is sent.

    If it was decided later: a copy of the profile that is not up to date may be read after the opt-out.
    """
    opted_out, again = (f"2026-05-0{day}T10:00:00+00:00" for day in (3, 4))
    for subscriptions in (consent(), consent("UNSUBSCRIBED", opted_out), consent(), consent(at=again)):
        ended = load([schema("profiles"), record("profiles", profile(1, subscriptions=subscriptions))])
        notes = ended.summary["streams"]["profiles"].get("notes", {})
        assert ("optin_withheld email_optin" in notes) is (len(sent_optins(sandbox)) == 3)

    assert sent_optins(sandbox) == [True, False, None, True]


@pytest.mark.req("CO-05", "CO-02")
def test_lifted_suppression_resends_optin(load, sandbox):
    """An opt-in is sent again once its suppression is lifted.

    The consent never changed, but what was delivered last is the opt-out that the suppression caused.
    """
    suppressed = consent(suppression=[{"reason": "HARD_BOUNCE", "timestamp": "2026-05-02T10:00:00+00:00"}])
    for subscriptions in (consent(), suppressed, consent()):
        load([schema("profiles"), record("profiles", profile(1, subscriptions=subscriptions))])

    assert sent_optins(sandbox) == [True, False, True]


@pytest.mark.req("CO-05", "CO-02")
def test_uncertain_optout_resends_optin(load, sandbox):
    """An opt-in is sent again if an opt-out may have arrived.

    Its answer was lost. If it did arrive, the opt-in of before is no longer what Insider One has.
    """
    suppressed = consent(suppression=[{"reason": "HARD_BOUNCE", "timestamp": "2026-05-02T10:00:00+00:00"}])
    load([schema("profiles"), record("profiles", profile(1, subscriptions=consent()))])
    sandbox.fault("insiderone", kind="answer_lost", times=None)
    load([schema("profiles"), record("profiles", profile(1, subscriptions=suppressed))], max_retry_seconds=1)
    sandbox.clear_faults()

    load([schema("profiles"), record("profiles", profile(1, subscriptions=consent()))])

    assert sandbox.users()[0]["attributes"]["email_optin"] is True


@pytest.mark.req("CO-05")
def test_unsent_optin_stays_unsent(load, sandbox):
    """An opt-in that a lost request left alone is not sent again.

    An opt-out made inside Insider One survives also the failure of a run.
    """
    load([schema("profiles"), record("profiles", profile(1, subscriptions=consent()))])
    changed = [schema("profiles"), record("profiles", profile(1, first_name="Else", subscriptions=consent()))]
    sandbox.fault("insiderone", kind="answer_lost", times=None)
    load(changed, max_retry_seconds=1)
    sandbox.clear_faults()

    load(changed)

    assert set(sent_optins(sandbox)[1:]) == {None}


@pytest.mark.req("CO-06")
def test_older_read_never_overwrites(load, sandbox):
    """An older read never overwrites a newer one.

    Profile and subscription flow may bring one person in any order; what was read later counts.
    """
    newer = record("subscription_changes", profile(1, subscriptions=consent("UNSUBSCRIBED")), "2026-06-01T10:05:00Z")
    older = record("profiles", profile(1, subscriptions=consent()), "2026-06-01T10:00:00Z")

    load([schema("subscription_changes"), newer])
    late = load([schema("profiles"), older])

    assert late.counts("profiles") == {"read": 1, "duplicate": 1}
    assert late.summary["streams"]["profiles"]["reasons"] == {"duplicate": {"older_read": 1}}
    assert sandbox.users()[0]["attributes"]["email_optin"] is False


@pytest.mark.req("CO-08")
@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "new.address@shop.example"), ("phone_number", "+905321234567")],
    ids=["email", "phone"],
)
def test_changed_identifier_is_logged(load, field, value):
    """A changed identifier is counted and logged by id.

    An upsert would make a second user; who reads the log must learn of it, but not the address.
    """
    load([schema("profiles"), record("profiles", profile(1, phone_number="+905320000000"))])

    ended = load(
        [schema("profiles"), record("profiles", profile(1, **{"phone_number": "+905320000000", field: value}))]
    )

    assert ended.summary["streams"]["profiles"]["notes"] == {f"identifier_changed {field}": 1}
    assert "profile P1: identifier_changed" in ended.logs
    assert value not in ended.logs


@pytest.mark.req("CO-08")
def test_new_identifier_is_no_change(load):
    """An identifier that is new or gone is no change. Only another value of the same kind makes a second user."""
    load([schema("profiles"), record("profiles", profile(1))])

    ended = load([schema("profiles"), record("profiles", profile(1, phone_number="+905320000000"))])

    assert "notes" not in ended.summary["streams"]["profiles"]


@pytest.mark.req("CO-07")
def test_global_unsubscribes_stay(load, sandbox):
    """The global unsubscribe list is left alone.

    Opt-ins are attributes; nothing but the upsert endpoint is ever called for them.
    """
    load([schema("profiles"), record("profiles", profile(1, subscriptions=consent("UNSUBSCRIBED")))])

    assert {request["path"] for request in sandbox.journal("insiderone")} == {"/api/user/v1/upsert"}
